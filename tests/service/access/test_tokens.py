import base64
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from scoring.base.errors import ConfigurationWrong
from service.access import key_sets
from service.access.grants import load_grants
from service.access.key_sets import KeySource, read_key_set
from service.access.tokens import TokenRefused, Tokens
from tests.helpers.callers import Authority, TokenIssuer, public_jwk, write_grants
from tests.helpers.limits import Limit


class Clock:
    def __init__(self) -> None:
        self.now = time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer(tmp_path: Path) -> TokenIssuer:
    return TokenIssuer(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tokens_of(issuer: TokenIssuer, clock: Clock, *algorithms: str) -> tuple[Tokens, KeySource]:
    path = issuer.folder / "grants.toml"
    write_grants(path, issuer.table())
    [stated] = load_grants(path).issuers
    if algorithms:
        stated = replace(stated, algorithms=frozenset(algorithms))
    source = KeySource(stated.keys, report=lambda _: None)
    source.look()
    return Tokens({stated.issuer: (stated, source)}, clock), source


def test_a_sound_token_proves_issuer_and_subject(issuer: TokenIssuer, clock: Clock) -> None:
    tokens, _ = tokens_of(issuer, clock)
    found = tokens.verify(issuer.token("user-17")).principal
    assert found.name == "jwt:https://login.example#user-17"
    assert found.marketplaces == {"acme"}
    assert not found.is_bound


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "audience|lacks"),
        ({"iss": "https://login.example.evil"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"sub": None}, "lacks"),
        ({"sub": "a b"}, "subject"),
        ({"exp": None}, "lacks"),
        ({"iat": None}, "lacks"),
        ({"exp": time() - 60}, "expired"),
        ({"iat": time() + 86_400, "exp": time() + 90_000}, "not good yet"),
        ({"nbf": time() + 86_400}, "not good yet"),
        ({"iat": time() - 600, "exp": time() + 3_600}, "more than"),
        ({"exp": "tomorrow"}, "times|signed"),
        ({"exp": True}, "times|signed"),
        ({"exp": 10**400}, "times|signed"),
        ({"cnf": {"jkt": "x"}}, "other means"),
        ({"cnf": {"x5t#S256": "x", "jkt": "y"}}, "other means"),
        ({"cnf": {"x5t#S256": "x"}}, "another certificate"),
        ({"headers": {"jku": "https://evil.example/keys"}}, "header"),
        ({"headers": {"x5u": "https://evil.example/keys"}}, "header"),
        ({"headers": {"jwk": {"kty": "EC"}}}, "header"),
        ({"headers": {"crit": ["exp"]}}, "header|no JSON"),
        ({"headers": {"typ": "JWE"}}, "type"),
        ({"headers": {"kid": "k2"}}, "key"),
        ({"blob": "x" * 8_192}, "longer"),
    ],
)
def test_what_does_not_prove_anybody_is_refused(
    issuer: TokenIssuer, clock: Clock, changes: dict[str, Any], problem: str
) -> None:
    tokens, _ = tokens_of(issuer, clock)
    for _ in range(2):  # the cache must not help
        with pytest.raises(TokenRefused, match=problem):
            tokens.verify(issuer.token(**changes))


def segments(header: object, claims: object, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_forged_signatures_prove_nobody(issuer: TokenIssuer, clock: Clock) -> None:
    tokens, _ = tokens_of(issuer, clock, "ES256", "RS256")
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    public = issuer.keys["k1"].public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, form)
    import hashlib
    import hmac

    unsigned = segments({"alg": "HS256", "kid": "k1", "typ": "JWT"}, claims).rstrip(".")
    by_secret = hmac.digest(pem, unsigned.encode(), hashlib.sha256)
    forged = [
        segments({"alg": "none", "kid": "k1", "typ": "JWT"}, claims),
        segments({"alg": "ES256", "kid": "k1", "typ": "JWT"}, claims),
        segments({"alg": "HS256", "kid": "k1", "typ": "JWT"}, claims, by_secret),
        jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": "k1"}),
        jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "k1"}),
        issuer.token()[:-4] + "AAAA",
        segments([], claims),
        segments({"alg": "ES256", "kid": "k1"}, []),
        "",
        "a.b.c",
        "x" * 9_000,
    ]
    for token in forged:
        with pytest.raises(TokenRefused):
            tokens.verify(token)


def test_a_token_bound_to_a_certificate_needs_that_one(issuer: TokenIssuer, clock: Clock) -> None:
    tokens, _ = tokens_of(issuer, clock)
    token = issuer.token(cnf={"x5t#S256": "thumb"})
    assert tokens.verify(token, "thumb").principal.name.endswith("#user-17")
    for other in (None, "other"):
        with pytest.raises(TokenRefused, match="another certificate"):
            tokens.verify(token, other)


def test_what_is_remembered_ends_with_the_token_and_with_its_key(issuer: TokenIssuer, clock: Clock) -> None:
    tokens, source = tokens_of(issuer, clock)
    token = issuer.token(seconds=20)
    tokens.verify(token)
    clock.now += 49
    tokens.verify(token)
    clock.now += 2
    with pytest.raises(TokenRefused, match="expired"):
        tokens.verify(token)
    fresh = issuer.token()
    tokens.verify(fresh)
    issuer.keys["k2"] = ec.generate_private_key(ec.SECP256R1())
    issuer.publish("k2")
    source.look()
    with pytest.raises(TokenRefused, match="does not publish"):
        tokens.verify(fresh)
    assert tokens.verify(issuer.token(key="k2")).principal.name.endswith("#user-17")


def test_key_sets_that_cannot_be_trusted_are_refused_whole() -> None:
    good = public_jwk("k", ec.generate_private_key(ec.SECP256R1()))
    weak = public_jwk("r", rsa.generate_private_key(65537, 1024))
    for keys, problem in (
        ([good, good], "two keys"),
        ([good | {"d": "AA"}], "private"),
        ([{"kty": "oct", "k": "AA", "kid": "s"}], "private or shared"),
        ([weak], "RSA"),
        ([good | {"kid": str(n)} for n in range(10_000)], "larger|at most"),
        ([good | {"x": "AA"}], "malformed"),
        ("k", "list"),
    ):
        with pytest.raises(ValueError, match=problem):
            read_key_set(json.dumps({"keys": keys}).encode())
    for data in (b"", b"[]", b"{", b"null", b"[" * 100_000):
        with pytest.raises(ValueError, match="no JSON Web Key Set"):
            read_key_set(data)


def test_a_key_has_the_one_algorithm_that_fits_it() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    listed = [
        public_jwk("a", key),
        public_jwk("b", key) | {"alg": "RS256"},
        public_jwk("c", key) | {"use": "enc"},
        public_jwk("d", rsa.generate_private_key(65537, 2048)) | {"alg": "PS256"},
        public_jwk("e", rsa.generate_private_key(65537, 2048)) | {"alg": "HS256"},
        {"kty": "new"},
        {**public_jwk("f", key), "kid": 3},
    ]
    found = read_key_set(json.dumps({"keys": listed}).encode())
    assert {name: one.algorithm for name, one in found.items()} == {"a": "ES256", "d": "PS256"}


def test_a_file_of_keys_that_breaks_leaves_the_last_good_ones(issuer: TokenIssuer) -> None:
    told: list[str] = []
    source = KeySource(str(issuer.path), report=told.append)
    source.look()
    before = source.keys
    for _ in range(3):
        issuer.path.write_text("{")
        source.look()
    assert source.keys is before
    assert told == ["is no JSON Web Key Set"]
    with pytest.raises(ConfigurationWrong, match=r"(?i)no such file"):
        KeySource(str(issuer.path.with_name("absent")), report=told.append).start()


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
