"""An issuer's keys: a JSON Web Key Set from a file or URL, followed by a thread."""

import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any
from urllib.error import URLError

import jwt

from scoring.base.canonical import JsonObject, parse_json
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from sellertrust.machine import file_state


def fetch(url: str, authorities: Path | None, seconds: float, max_bytes: int) -> bytes:
    """Return the body at an https URL; `authorities` is a file of trusted CAs, the system's by default.

    Raises OSError if it fails, redirects, exceeds `max_bytes` or takes longer than `seconds`; HTTPException if it is no
    HTTP.
    """
    context = ssl.create_default_context(cafile=authorities)
    deadline = _Deadline(seconds)
    opener = urllib.request.build_opener(_Handler(context, deadline), _NoRedirects)
    try:
        with opener.open(urllib.request.Request(url), timeout=seconds) as answer:  # noqa: S310 (https alone)
            data = bytes(answer.read(max_bytes + 1))
    except (OSError, http.client.HTTPException):
        if deadline.is_over:
            raise URLError("is too slow") from None
        raise
    finally:
        deadline.stop()
    if deadline.is_over:
        raise URLError("is too slow")
    if len(data) > max_bytes:
        raise URLError("is too large")
    return data


class _Deadline:
    """Closes its connections at the deadline: a socket's own timeout restarts with each byte."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._until = monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def seconds_left(self) -> float:
        """Raises TimeoutError."""
        seconds = self._until - monotonic()
        if seconds <= 0:
            raise TimeoutError("is too slow")
        return seconds

    def shut_at_end(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connection.dup())  # TLS detaches the original
        if self.is_over:
            self._end()

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            for copy in self._sockets:
                copy.close()
            self._sockets.clear()

    def _end(self) -> None:
        self.is_over = True
        with self._lock:
            for copy in self._sockets:
                with suppress(OSError):
                    copy.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, deadline: _Deadline, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline, self._tls, self._name = deadline, tls, self.host

    def set_tunnel(self, host: str, *arguments: Any, **options: Any) -> None:
        self._name = host.rpartition(":")[0] or host
        super().set_tunnel(host, *arguments, **options)

    def connect(self) -> None:
        self.timeout = self._deadline.seconds_left()
        http.client.HTTPConnection.connect(self)
        self._deadline.shut_at_end(self.sock)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


class _Handler(urllib.request.HTTPSHandler):
    def __init__(self, tls: ssl.SSLContext, deadline: _Deadline) -> None:
        super().__init__(context=tls)
        self._connect = partial(_Connection, deadline=deadline, tls=tls)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(self._connect, request)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        raise URLError("redirects, which is not followed")


ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})

LOOK_SECONDS = 1.0
REFRESH_SECONDS = 300.0
REFETCH_SECONDS = 30.0
MAX_SILENT_SECONDS = 86_400.0
"""Keys stay valid this long while their URL does not answer."""
FETCH_SECONDS = 5.0
MAX_SET_BYTES = 256 << 10
MAX_KEYS = 100
MIN_RSA_BITS = 2_048

NO_KEYS = "lists no key that signs, so none of its tokens is good"

_ALGORITHM_OF = {
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("OKP", "Ed25519"): "EdDSA",
}


@frozen
class VerifyingKey:
    algorithm: str
    key: Any


def read_key_set(data: bytes) -> Mapping[str, VerifyingKey]:
    """Parse a JSON Web Key Set into public keys by id.

    Skips keys with another use, of unknown types or algorithms, and without an id. Raises ValueError if it is no key
    set, or has a private, shared or weak key, a repeated id, or over 100 keys.
    """
    if len(data) > MAX_SET_BYTES:
        raise ValueError(f"is larger than {MAX_SET_BYTES:,} bytes")
    try:
        content = parse_json(data)
        rows = content["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("is no JSON Web Key Set") from None
    if not isinstance(rows, list) or len(rows) > MAX_KEYS:
        raise ValueError(f"must list at most {MAX_KEYS} keys")
    keys: dict[str, VerifyingKey] = {}
    for row in rows:
        if not isinstance(row, dict) or row.get("use", "sig") != "sig":
            continue
        if row.get("kty") == "oct" or "d" in row:
            raise ValueError("holds a private or shared key")
        name, algorithm = row.get("kid"), _find_algorithm(row)
        if not isinstance(name, str) or not 0 < len(name) <= 256 or algorithm is None:
            continue
        if name in keys:
            raise ValueError("holds two keys of one id")
        keys[name] = VerifyingKey(algorithm, _read_public_key(row, algorithm))
    return MappingProxyType(keys)


def _find_algorithm(jwk: JsonObject) -> str | None:
    kind, stated_algorithm = jwk.get("kty"), jwk.get("alg")
    if kind == "RSA":
        algorithm = "RS256" if stated_algorithm is None else stated_algorithm
        return algorithm if algorithm in ALGORITHMS and algorithm[:2] in {"RS", "PS"} else None
    algorithm_of_curve = _ALGORITHM_OF.get((str(kind), str(jwk.get("crv"))))
    return algorithm_of_curve if stated_algorithm in {None, algorithm_of_curve} else None


def _read_public_key(jwk: JsonObject, algorithm: str) -> Any:
    try:
        key = jwt.PyJWK(dict(jwk), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise ValueError("holds a malformed key") from None
    if jwk.get("kty") == "RSA" and key.key_size < MIN_RSA_BITS:
        raise ValueError(f"holds an RSA key of less than {MIN_RSA_BITS:,} bits")
    return key


class KeySource:
    """The keys of one place, followed from `start` to `stop`; the last good ones stay in use.

    `report` is called with each change of the place's problem.
    """

    def __init__(self, place: str, authorities: Path | None = None, report: Callable[[str], object] = print) -> None:
        self._keys: Mapping[str, VerifyingKey] = MappingProxyType({})
        self.generation = 0
        self._place = place
        self._is_url = place.startswith("https://")
        self._authorities = authorities
        self._report = report
        self._problem = ""
        self._state_read: object = None
        self._confirmed_at = self._asked_at = -MAX_SILENT_SECONDS
        self._is_missing = False
        self._is_ending = threading.Event()

    @property
    def keys(self) -> Mapping[str, VerifyingKey]:
        """Return the present keys by id: the same mapping until they change.

        Empty if the URL has given no keys for a day.
        """
        is_silent = self._is_url and monotonic() - self._confirmed_at > MAX_SILENT_SECONDS
        return MappingProxyType({}) if is_silent else self._keys

    def start(self) -> None:
        """Start the thread; a file is read at once, a URL soon. Raises ConfigurationWrong for a bad file."""
        if not self._is_url:
            self.look()
            if self._problem not in {"", NO_KEYS}:
                raise ConfigurationWrong(f"{self._place}: {self._problem}")
        threading.Thread(target=self._follow, name="key-set", daemon=True).start()

    def stop(self) -> None:
        self._is_ending.set()

    def report_missing(self) -> None:
        """Ask the thread to fetch soon, at most once in 30 s, because a token names an unknown key."""
        self._is_missing = True

    def _follow(self) -> None:
        while not self._is_ending.is_set():
            self.look()
            self._is_ending.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Read the file, or the URL if its wait is over, and use the keys."""
        if self._is_url:
            now = monotonic()
            wait = REFETCH_SECONDS if self._is_missing or self._problem else REFRESH_SECONDS
            if now - self._asked_at < wait:
                return
            self._asked_at, self._is_missing = now, False
        try:
            data = (
                fetch(self._place, self._authorities, FETCH_SECONDS, MAX_SET_BYTES)
                if self._is_url
                else self._read_file_if_changed()
            )
            if data is not None:
                self._use_keys(read_key_set(data))
        except (OSError, ValueError) as error:
            self._fail(str(getattr(error, "reason", None) or error))
        except Exception as error:  # noqa: BLE001 (whatever a place answers, withdrawn keys must go on to be noticed)
            self._fail(f"cannot be read ({type(error).__name__})")
        else:
            self._confirmed_at = monotonic()
            if self._keys:
                self._problem = ""
            else:
                self._fail(NO_KEYS)

    def _use_keys(self, keys: Mapping[str, VerifyingKey]) -> None:
        self._keys = keys
        self.generation += 1

    def _fail(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._report(problem)
        if self._keys and not self.keys:
            self._use_keys(MappingProxyType({}))

    def _read_file_if_changed(self) -> bytes | None:
        path = Path(self._place)
        state = file_state(path)
        if state == self._state_read:
            if self._problem:
                raise ValueError(self._problem)
            return None
        self._state_read = state
        with path.open("rb") as file:
            return file.read(MAX_SET_BYTES + 1)
