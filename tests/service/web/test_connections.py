import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

import service.web.server
from scoring.base.errors import ConfigurationWrong
from sellertrust.client import Client
from service.web.connections import bounded_protocol, uvicorn_options
from service.web.server import BadgeServer, Options

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def site(max_connections: int, seconds: float) -> Iterator[tuple[tuple[str, int], uvicorn.Server]]:
    listener = socket.create_server(("127.0.0.1", 0))
    options = uvicorn_options(bounded_protocol({}, max_connections, seconds))
    server = uvicorn.Server(uvicorn.Config(PlainTextResponse("well"), lifespan="off", **options))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield listener.getsockname(), server
    finally:
        server.should_exit = True
        thread.join()


def test_one_connection_too_many_makes_the_oldest_give_way() -> None:
    with site(3, 60) as (address, _), ExitStack() as stack:
        quiet = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(3)]
        for one in quiet:
            one.sendall(REQUEST[:10])
        with socket.create_connection(address, timeout=30) as late:
            late.sendall(REQUEST)
            assert late.recv(1_000).startswith(b"HTTP/1.1 200")
            assert is_closed(quiet[0])
            quiet[2].sendall(REQUEST[10:])
            assert quiet[2].recv(1_000).startswith(b"HTTP/1.1 200")


@pytest.mark.long
def test_a_connection_ends_in_time() -> None:
    with (
        site(10, 0.3) as (address, _),
        socket.create_connection(address, timeout=30) as half,
        socket.create_connection(address, timeout=30) as mute,
    ):
        half.sendall(REQUEST[:-2])
        assert is_closed(half)
        assert is_closed(mute)


def test_a_body_does_not_wait_for_the_receipt_of_its_head() -> None:
    with site(10, 60) as (address, server), socket.create_connection(address, timeout=30) as reader:
        reader.sendall(REQUEST)
        assert reader.recv(1_000)
        [connection] = server.server_state.connections
        taken = connection.transport.get_extra_info("socket")
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.long
def test_a_server_without_bounds_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.web.server, "bounded_protocol", lambda _: H11Protocol)
    with Client("127.0.0.1:1") as client, pytest.raises(ConfigurationWrong, match="uvicorn"):
        BadgeServer(client, Options(address="127.0.0.1:0"), print).run()


def is_closed(connection: socket.socket) -> bool:
    """Wait until the other side ends the connection; return False if it does not."""
    try:
        return connection.recv(1_000) == b""
    except ConnectionResetError:
        return True
