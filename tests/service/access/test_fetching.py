import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.access import key_sets
from service.access.key_sets import KeySource
from tests.helpers.callers import Authority, public_jwk
from tests.helpers.limits import Limit


class Site:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.asked = 0
        self.dripped = b""
        self.is_over = threading.Event()
        keys = {"keys": [public_jwk("k1", ec.generate_private_key(ec.SECP256R1()))]}
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, json.dumps(keys).encode())
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                site.drip(self.wfile.write)
                status, headers, body = site.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        shown = self.authority.certificate(dns=["localhost"], addresses=["127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.certificate, shown.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}/keys"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def drip(self, write: Callable[[bytes], object]) -> None:
        """Send `dripped`, then its last character repeatedly until the client disconnects."""
        with suppress(OSError):
            for part in chain([self.dripped], repeat(self.dripped[-1:])) if self.dripped else ():
                write(part)
                self.is_over.wait(0.05)

    def close(self) -> None:
        self.is_over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1_000_000.0]
    # a day passes in no time
    monkeypatch.setattr(key_sets, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_keys_are_fetched_at_a_bounded_rate(site: Site, later: Callable[[float], None]) -> None:
    source = KeySource(site.url, site.authority.ca)
    source.look()
    assert [*source.keys] == ["k1"]
    for _ in range(100):
        source.report_missing()
        later(0.1)
        source.look()
    assert site.asked == 1
    later(21)
    source.look()
    assert site.asked == 2
    later(299)
    source.look()
    assert site.asked == 2
    later(2)
    source.look()
    assert site.asked == 3


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((302, {"Location": "https://127.0.0.1:1/keys"}, b""), "redirects"),
        ((500, {}, b""), "Internal Server Error"),
        ((200, {}, b"x" * (300 << 10)), "too large"),
        ((200, {}, b"<html>"), "no JSON Web Key Set"),
        ((200, {}, b'{"keys": [{"kty": "RSA", "kid": "k", "alg": []}]}'), "cannot be read"),
        ((200, {"X-Long": "x" * (70 << 10)}, b"{}"), "cannot be read"),
        ((200, {}, json.dumps({"keys": [{"kty": "EC", "kid": str(n)} for n in range(10_000)]}).encode()), "too large"),
        ((200, {}, json.dumps({"keys": [{"kid": str(n)} for n in range(5_000)]}).encode()), "at most 100"),
    ],
)
def test_a_site_that_answers_badly_leaves_the_last_good_keys(
    site: Site, later: Callable[[float], None], answer: tuple[int, dict[str, str], bytes], problem: str
) -> None:
    told: list[str] = []
    source = KeySource(site.url, site.authority.ca, told.append)
    source.look()
    site.answer = answer
    for _ in range(3):
        later(301)
        source.look()
    assert len(told) == 1
    assert problem in told[0]
    later(86_400 - 3 * 301)
    assert [*source.keys] == ["k1"]
    later(1)
    assert [*source.keys] == []


@pytest.mark.long
@pytest.mark.parametrize(
    "dripped",
    [
        b"H",
        b"HTTP/1.1 200 OK\r\nX-A: x",
        b"HTTP/1.1 200 OK\r\n\r\n ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n ",
    ],
)
def test_a_dripping_answer_is_given_up_at_one_deadline(site: Site, limit: Limit, dripped: bytes) -> None:
    # a deadline that a test can wait for
    limit(key_sets, FETCH_SECONDS=1.5)
    told: list[str] = []
    source = KeySource(site.url, site.authority.ca, told.append)
    site.dripped = dripped
    asking = threading.Thread(target=source.look, daemon=True)
    asking.start()
    asking.join(60)
    assert not asking.is_alive()
    assert told == ["is too slow"]


@pytest.mark.long
def test_a_handshake_that_drips_is_given_up_as_well(limit: Limit, tmp_path: Path) -> None:
    # a deadline that a test can wait for
    limit(key_sets, FETCH_SECONDS=1.5)
    told: list[str] = []
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as taken, suppress(OSError):
                taken.sendall(b"\x16\x03\x03\x3f\xff")
                while not is_over.wait(0.05):
                    taken.sendall(b"\x02")

        threading.Thread(target=serve, daemon=True).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/keys"
        source = KeySource(url, Authority(tmp_path).ca, told.append)
        asking = threading.Thread(target=source.look, daemon=True)
        asking.start()
        asking.join(60)
        is_over.set()
        assert not asking.is_alive()
    assert len(told) == 1
    assert told[0] == "is too slow" or "timed out" in told[0]


def test_a_key_set_without_keys_withdraws_them_and_is_reported(site: Site, later: Callable[[float], None]) -> None:
    told: list[str] = []
    source = KeySource(site.url, site.authority.ca, told.append)
    source.look()
    good, site.answer = site.answer, (200, {}, b'{"keys": []}')
    for _ in range(3):
        later(301)
        source.look()
    assert [*source.keys] == []
    assert told == [key_sets.NO_KEYS]
    site.answer = good
    later(31)
    source.look()
    assert [*source.keys] == ["k1"]


def test_a_site_that_is_down_or_not_trusted_gives_no_keys(site: Site, tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").ca
    for source in (KeySource(site.url, other, told.append), KeySource("https://127.0.0.1:1/", None, told.append)):
        source.look()
        assert not source.keys
    assert "CERTIFICATE_VERIFY_FAILED" in told[0]
    assert "refused" in told[1]
    assert site.asked == 0
