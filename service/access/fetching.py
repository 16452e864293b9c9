"""Fetches a small document by https, without redirects, within one deadline."""

import http.client
import socket
import ssl
import threading
import urllib.request
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import URLError


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

    def left(self) -> float:
        """Return the seconds left. Raises TimeoutError."""
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError("is too slow")
        return left

    def hold(self, made: socket.socket) -> None:
        with self._lock:
            self._sockets.append(made.dup())
        if self.is_over:
            self._end()

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    def _end(self) -> None:
        self.is_over = True
        with self._lock:
            for held in self._sockets:
                with suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, deadline: _Deadline, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline, self._tls, self._name = deadline, tls, self.host

    def set_tunnel(self, host: str, *arguments: Any, **options: Any) -> None:
        self._name = host.rpartition(":")[0] or host
        super().set_tunnel(host, *arguments, **options)

    def connect(self) -> None:
        self.timeout = self._deadline.left()
        http.client.HTTPConnection.connect(self)
        self._deadline.hold(self.sock)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


class _Handler(urllib.request.HTTPSHandler):
    def __init__(self, tls: ssl.SSLContext, deadline: _Deadline) -> None:
        super().__init__(context=tls)
        self._made = partial(_Connection, deadline=deadline, tls=tls)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(self._made, request)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        raise URLError("redirects, which is not followed")
