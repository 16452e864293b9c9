"""Fetches a small document by https: whole, without a redirect, and within one deadline, whatever the site does."""

import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import URLError

_Connect = Callable[..., socket.socket]


def fetch(url: str, authorities: Path | None, seconds: float, max_bytes: int) -> bytes:
    """Return what an https URL answers; `authorities`: a file of those to trust, the system's by default.

    OSError if it cannot be had, redirects, is larger than `max_bytes` or takes longer than `seconds`; HTTPException if it
    is no HTTP.
    """
    context = ssl.create_default_context(cafile=authorities)
    deadline = _Deadline(seconds)
    opener = urllib.request.build_opener(_Handler(context, deadline.connect), _NoRedirects)
    try:
        with opener.open(urllib.request.Request(url), timeout=seconds) as answer:  # noqa: S310 (https alone)
            data = bytes(answer.read(max_bytes + 1))
    except (OSError, http.client.HTTPException):
        if deadline.is_over:
            raise URLError("is too slow") from None
        raise
    finally:
        deadline.stop()
    if deadline.is_over:  # a body without a length ends as its connection does
        raise URLError("is too slow")
    if len(data) > max_bytes:
        raise URLError("is too large")
    return data


class _Deadline:
    """Shuts the connections that were made through it once the time is up.

    A socket's own timeout begins anew with each byte, so a site that drips its headers would never be given up.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._until = monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def connect(self, address: Any, _timeout: Any = None, *arguments: Any) -> socket.socket:
        """Return a connection, as `socket.create_connection` makes it, by the deadline. TimeoutError once that is over."""
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError("is too slow")
        made = socket.create_connection(address, left, *arguments)
        with self._lock:
            # TLS takes the socket over; a second handle of the same connection stays good for shutting it.
            self._sockets.append(made.dup())
        if self.is_over:
            self._end()
        return made

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


class _Handler(urllib.request.HTTPSHandler):
    """Opens https through a function that makes the connections."""

    def __init__(self, context: ssl.SSLContext, connect: _Connect) -> None:
        super().__init__(context=context)
        self._own_context = context
        self._connect = connect

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(self._open, request, context=self._own_context)

    def _open(self, host: str, **options: Any) -> http.client.HTTPSConnection:
        made = http.client.HTTPSConnection(host, **options)
        made._create_connection = self._connect  # type: ignore[attr-defined]
        return made


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: whoever can cause one would name the document."""

    def redirect_request(self, *_: Any) -> None:
        raise URLError("redirects, which is not followed")
