from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoring.base.errors import invalid
from service.cli.common import write_address
from service.cli.connecting import connect
from service.cli.options import ReadyFile
from service.cli.output import say
from service.setting_forms import is_address
from service.settings import host_and_port, load

if TYPE_CHECKING:
    from service.api.telemetry.metrics import MetricsPort
    from service.web.server import BadgeServer

app = typer.Typer()

DEFAULT_ADDRESS = "127.0.0.1:8080"


@app.command("serve")
def serve(
    address: Annotated[
        str,
        typer.Option("--address", metavar="HOST:PORT", help="Where to listen, in plain HTTP; port 0: any free one."),
    ] = DEFAULT_ADDRESS,
    metrics_address: Annotated[
        str | None,
        typer.Option(
            "--metrics-address", metavar="HOST:PORT", help="Where Prometheus finds /metrics; default: nowhere."
        ),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(
            "--words",
            exists=True,
            dir_okay=False,
            help="TOML file of what each badge is called; default: the shipped one.",
        ),
    ] = None,
    ready_file: ReadyFile = None,
) -> None:
    """Serve the badges of sellers as SVG and JSON over HTTP until SIGTERM.

    It asks the server for them, and needs the extra web.
    """
    from service.web.server import BadgeServer, Options
    from service.web.words import SHIPPED_WORDS

    try:
        is_address(address)
    except ValueError as error:
        raise invalid("--address", str(error)) from None
    settings = load()
    options = Options(
        address=address,
        words=words or SHIPPED_WORDS,
    )
    with connect(settings) as client:
        server = BadgeServer(client, options, say)
        port = None if metrics_address is None else _metrics_port(server, metrics_address)
        say(f"badges on http://{server.address}/badge/{settings.marketplace}/SELLER.svg, asked of {settings.target}")
        if port is not None:
            say(f"metrics on http://{host_and_port(metrics_address or '')[0]}:{port.port}/metrics")
        write_address(ready_file, server.address)
        try:
            server.run()
        finally:
            if port is not None:
                port.close()


def _metrics_port(server: "BadgeServer", address: str) -> "MetricsPort":
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
