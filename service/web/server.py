import asyncio
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from scoring.base.errors import ConfigurationWrong
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from service.settings import host_and_port
from service.web.app import build_app
from service.web.badges import CALL_SECONDS, Badges, Outcome
from service.web.connections import bounded_protocol, require_bounds, uvicorn_options
from service.web.desk.app import Desk, DeskOptions
from service.web.frame.files import file_routes
from service.web.public.report_pages import ReportPages
from service.web.public.seller import SellerPages
from service.web.server_health import ServerHealth, is_serving
from service.web.words import SHIPPED_WORDS, read_words


@dataclass(frozen=True)
class Options:
    address: str = "127.0.0.1:8080"
    """Plain HTTP; port 0: any free port."""
    demo_marketplace: str | None = None
    words: Path = SHIPPED_WORDS
    max_sellers: int = 100_000
    stale_hours: float = 1.0
    """A badge is shown so long after its check without a new answer."""
    call_seconds: float = CALL_SECONDS


class BadgeServer:
    """It listens from its construction on. `report` gets lines for the operator.

    Raises ConfigurationWrong for wrong words, or if it cannot listen.
    """

    def __init__(
        self,
        client: Client,
        options: Options,
        report: Callable[[str], None],
        desk: DeskOptions | None = None,
        sellers: SellerPages | None = None,
    ) -> None:
        words, seconds = read_words(options.words), options.call_seconds
        self.badges = Badges(
            partial(_fetch_scores, client, seconds),
            report,
            max_sellers=options.max_sellers,
            stale_seconds=options.stale_hours * 3_600,
            call_seconds=seconds,
        )
        health = ServerHealth(lambda: is_serving(client, seconds))
        pages = [*file_routes(), *ReportPages(client).routes(report)]
        if sellers is not None:
            pages += sellers.routes(report)
        app = build_app(self.badges, health, words, report, options.demo_marketplace, pages)
        self._sites = [_HttpSite(options.address, app)]
        self._desk: Desk | None = None
        if desk is not None:
            self._desk = Desk(desk, client, report)
            self._sites.append(_HttpSite(desk.address, self._desk.app, desk.tls, "--desk"))
        self.address = self._sites[0].address
        self.desk_address = self._sites[-1].address
        """The badges' address without a desk."""

    def run(self) -> None:
        """Answer until SIGTERM, SIGINT (in a main thread) or `stop`; running answers are finished."""
        is_main = threading.current_thread() is threading.main_thread()
        previous_handlers = {number: signal.getsignal(number) for number in _STOP_SIGNALS} if is_main else {}
        for number in previous_handlers:  # uvicorn raises the signal again at its end, for the previous handler
            signal.signal(number, _ignore_signal)
        if self._desk is not None:
            self._desk.sender.start()
        try:
            asyncio.run(self._serve())
        finally:
            for number, handler in previous_handlers.items():
                signal.signal(number, handler)
            for site in self._sites:
                site.listener.close()
            self.badges.close()
            if self._desk is not None:
                self._desk.close()

    async def _serve(self) -> None:
        serving = [asyncio.create_task(site.server.serve(sockets=[site.listener])) for site in self._sites]
        try:
            for site, task in zip(self._sites, serving, strict=True):
                await site.require_bounds(task)
        except (ConfigurationWrong, OSError):
            if self._sites[0].server.should_exit:
                return
            self.stop()
            raise
        finally:
            await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
            self.stop()
            await asyncio.gather(*serving)

    def stop(self) -> None:
        """End `run`, from any thread."""
        for site in self._sites:
            site.server.should_exit = True


class _HttpSite:
    def __init__(self, address: str, app: Any, tls: Path | None = None, option: str = "--address") -> None:
        self._connections: dict[H11Protocol, asyncio.TimerHandle] = {}
        bounded = uvicorn_options(bounded_protocol(self._connections))
        self.server = uvicorn.Server(uvicorn.Config(app, lifespan="off", **bounded, **_tls_options(tls)))
        self.listener = _open_listener(address, option)
        host, port = self.listener.getsockname()[:2]
        self.address: str = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def require_bounds(self, serving: "asyncio.Task[None]") -> None:
        while not (self.server.started or serving.done()):
            await asyncio.sleep(0.01)
        if self.server.started:
            await require_bounds(self.listener.getsockname()[:2], self._connections)


def _tls_options(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    files = {"ssl_certfile": "tls.crt", "ssl_keyfile": "tls.key", "ssl_ca_certs": "client-ca.crt"}
    return {option: str(folder / name) for option, name in files.items()} | {"ssl_cert_reqs": ssl.CERT_REQUIRED}


def _fetch_scores(client: Client, seconds: float, marketplace: str, sellers: Sequence[str]) -> dict[str, Outcome]:
    results = client.batch_get_trust_scores(marketplace, sellers, deadline_seconds=seconds)
    return {
        seller: result.trust_score or SellertrustCallError.of_item(result.error)
        for seller, result in zip(sellers, results, strict=True)
    }


_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _ignore_signal(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by nothing."""


def _open_listener(address: str, option: str) -> socket.socket:
    try:
        host, port = host_and_port(address)
        family, _, _, _, address_info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address_info[:2], family=family, backlog=1_024)
    except (OSError, OverflowError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationWrong(
            f"cannot listen on {address}: {(reason or str(error)).lower()}; give HOST:PORT of this machine by {option}"
        ) from None
