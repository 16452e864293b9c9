from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoring.base.errors import invalid
from sellertrust.machine import is_loopback_host
from service.cli.common import write_address
from service.cli.connecting import connect
from service.cli.options import ReadyFile
from service.cli.output import say
from service.setting_forms import require_address
from service.settings import host_and_port, load

if TYPE_CHECKING:
    from sellertrust.client import Client
    from service.api.telemetry.metrics import MetricsPort
    from service.settings import Settings
    from service.web.desk.app import DeskOptions
    from service.web.public.seller import SellerPages
    from service.web.server import BadgeServer

DEFAULT_ADDRESS = "127.0.0.1:8080"


Address = Annotated[
    str, typer.Option("--address", metavar="HOST:PORT", help="Where to listen, in plain HTTP; port 0: any free one.")
]
MetricsAddress = Annotated[
    str | None,
    typer.Option("--metrics-address", metavar="HOST:PORT", help="Where Prometheus finds /metrics; default: nowhere."),
]
Words = Annotated[
    Path | None,
    typer.Option(
        "--words", exists=True, dir_okay=False, help="TOML file of what each badge is called; default: the shipped one."
    ),
]
Desk = Annotated[
    str | None, typer.Option("--desk", metavar="HOST:PORT", help="Where staff find the desk; default: nowhere.")
]
DeskTls = Annotated[
    Path | None,
    typer.Option(
        "--desk-tls",
        exists=True,
        file_okay=False,
        help="Folder with tls.crt and tls.key of the desk, and client-ca.crt of the proxy in front of it; without it"
        " the desk listens on loopback, and prints a code.",
    ),
]
Sellers = Annotated[
    Path | None,
    typer.Option(
        "--sellers",
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Serve each seller's own page too, by a token; documents of sellers go into this folder.",
    ),
]
Evidence = Annotated[
    str, typer.Option("--evidence", help="Folder or URL that holds the evidence; the desk shows no other.")
]


def serve(
    address: Address = DEFAULT_ADDRESS,
    metrics_address: MetricsAddress = None,
    words: Words = None,
    desk: Desk = None,
    desk_tls: DeskTls = None,
    sellers: Sellers = None,
    evidence: Evidence = "",
    ready_file: ReadyFile = None,
) -> None:
    """Serve badges, public reports, sellers' pages and the staff's desk over HTTP until SIGTERM.

    It asks the server for all it shows, and needs the extra web.
    """
    from service.web.server import BadgeServer, Options
    from service.web.words import SHIPPED_WORDS

    try:
        require_address(address)
    except ValueError as error:
        raise invalid("--address", str(error)) from None
    settings = load()
    options = Options(address=address, words=words or SHIPPED_WORDS)
    with connect(settings) as client:
        options_of_desk = None if desk is None else _make_desk_options(client, settings, desk, desk_tls, evidence)
        pages = None if sellers is None else _make_seller_pages(client, settings, sellers)
        server = BadgeServer(client, options, say, options_of_desk, pages)
        port = None if metrics_address is None else _open_metrics_port(server, metrics_address)
        say(f"badges on http://{server.address}/badge/{settings.marketplace}/SELLER.svg, asked of {settings.target}")
        if port is not None:
            say(f"metrics on http://{host_and_port(metrics_address or '')[0]}:{port.port}/metrics")
        if options_of_desk is not None:
            say(f"desk on {options_of_desk.link(server.desk_address)}")
        write_address(ready_file, server.address)
        try:
            server.run()
        finally:
            if port is not None:
                port.close()


def _make_desk_options(
    client: "Client", settings: "Settings", address: str, tls: Path | None, evidence: str
) -> "DeskOptions":
    from service.cli.connecting import make_client
    from service.web.desk.app import DeskOptions
    from service.web.desk.evidence import require_place
    from service.web.desk.staff import CodeSignIn, ProxySignIn
    from service.web.frame.clients import TokenClients

    try:
        host = host_and_port(require_address(address))[0]
    except ValueError as error:
        raise invalid("--desk", str(error)) from None
    if tls is None and not is_loopback_host(host):
        raise invalid("--desk", f"{host} is not this machine: give --desk-tls, and put a proxy in front")
    make = partial(make_client, settings, settings.target)
    sign_in = CodeSignIn(client) if tls is None else ProxySignIn(TokenClients(make))
    journal = settings.data_dir / "desk.db"
    return DeskOptions(address, sign_in, settings.marketplace, journal, tls, evidence and require_place(evidence))


def _make_seller_pages(client: "Client", settings: "Settings", folder: Path) -> "SellerPages":
    from service.cli.connecting import make_client
    from service.web.frame.clients import TokenClients
    from service.web.public.evidence import EvidenceFolder
    from service.web.public.seller import SellerPages

    tokens = TokenClients(partial(make_client, settings, settings.target))
    return SellerPages(client, tokens, EvidenceFolder(folder))


def _open_metrics_port(server: "BadgeServer", address: str) -> "MetricsPort":
    from prometheus_client import CollectorRegistry

    from service.api.telemetry.metrics import MetricsPort
    from service.web.metrics import BadgeMetrics

    registry = CollectorRegistry()
    registry.register(BadgeMetrics(server.badges))
    try:
        host, port = host_and_port(address)
        return MetricsPort(host, port, registry)
    except (OSError, OverflowError, ValueError) as error:
        raise invalid("--metrics-address", f"{address} cannot be used: {error}; give HOST:PORT") from None
