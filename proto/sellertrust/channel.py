"""A channel with a client certificate and a bearer token from files, read again when they change.

A renewed certificate needs a new connection; running calls end on the old one. A token goes with each call.
"""

import asyncio
import logging
import re
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Self

import grpc

from sellertrust.machine import file_state, is_this_machine
from sellertrust.waiting import in_thread

_LOG = logging.getLogger("sellertrust.client")

LOOK_SECONDS = 1.0
"""The least time between checks of the files, which calls trigger."""

TOKEN_SECONDS = 30.0
FIRST_TOKEN_SECONDS = 10.0

Credentials = grpc.ChannelCredentials | str | Path | None
Token = Callable[[], str] | str | Path | None


class CallerFiles:
    """The files that verify a server and authenticate the client.

    Raises ValueError for a contradictory combination. `tls` is a file of root certificates, gRPC's credentials, or None
    for plain text, over which a token is sent only to this machine.
    """

    def __init__(
        self,
        target: str,
        tls: Credentials,
        certificate: str | Path | None,
        key: str | Path | None,
        token: Token,
    ) -> None:
        if (certificate is None) != (key is None) or (certificate is not None and not isinstance(tls, str | Path)):
            raise ValueError("certificate and key go together, with tls as a file of root certificates")
        if token is not None and tls is None and not is_this_machine(target):
            raise ValueError("a token is sent over TLS only: give tls")
        self._tls = tls
        self._certificate_files = [Path(path) for path in (certificate, key) if path is not None]
        self._token = token if token is None or callable(token) else partial(_read_file, Path(token))
        place = "the answer of token" if callable(token) else str(token)
        self._token_text = "" if self._token is None else _require_token(_read_in_time(self._token), place)
        self._renewal_seconds = TOKEN_SECONDS if callable(token) else 0.0
        self._renewal_time = monotonic()
        self._is_asking = False

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return the present files' credentials, None for plain text. Raises OSError if they are unusable."""
        if not isinstance(self._tls, str | Path):
            return self._tls
        if self._certificate_files:  # gRPC would take files that do not match, and fail each handshake
            certificate_file, key_file = self._certificate_files
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate_file, key_file, password=lambda: b"")
        certificate, key = [path.read_bytes() for path in self._certificate_files] or (None, None)
        return grpc.ssl_channel_credentials(Path(self._tls).read_bytes(), key, certificate)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the header `authorization` with the token as last read; () without a token."""
        return (("authorization", f"Bearer {self._token_text}"),) if self._token_text else ()

    def state(self) -> object:
        """Return a value that changes with the certificate's files; None if they cannot be read now."""
        paths = [Path(self._tls), *self._certificate_files] if isinstance(self._tls, str | Path) else []
        try:
            return [file_state(path) for path in paths]
        except OSError:
            return None

    def renew_token(self) -> None:
        """Read the token again: a file now; a function, which may hang, in a thread, at most every TOKEN_SECONDS.

        Until that succeeds, the last token stays in use.
        """
        if self._token is None or self._is_asking or monotonic() - self._renewal_time < self._renewal_seconds:
            return
        self._is_asking, self._renewal_time = True, monotonic()
        if self._renewal_seconds:
            threading.Thread(
                target=self._read_token, args=(self._token,), name="sellertrust-token", daemon=True
            ).start()
        else:
            self._read_token(self._token)

    def _read_token(self, read: Callable[[], str]) -> None:
        try:
            self._token_text = _require_token(read(), "")
        except Exception as error:  # noqa: BLE001 (whatever a caller's function raises)
            _LOG.warning("the token is not renewed: %s", type(error).__name__)  # no message, which may hold a token
        finally:
            self._is_asking = False


def _read_in_time(read: Callable[[], str]) -> str:
    token = in_thread(read)
    wait([token], FIRST_TOKEN_SECONDS)
    if not token.done():
        raise TimeoutError(f"token gave no token within {FIRST_TOKEN_SECONDS:g} s")
    return token.result()


def _read_file(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _require_token(text: object, place: str) -> str:
    token = text.strip() if isinstance(text, str) else ""
    if not re.fullmatch(r"[!-~]+", token):
        raise OSError(f"{place} holds no token: one line of printable characters")
    return token


class CallerChannel(grpc.Channel):
    """A channel that connects again when the caller's certificate files change.

    `make` makes a channel with given credentials. Raises OSError if the first files are unusable; later unusable files
    leave the last good ones in use.
    """

    def __init__(self, files: CallerFiles, make: Callable[[grpc.ChannelCredentials | None], grpc.Channel]) -> None:
        self._files = files
        self._make = make
        self._lock = threading.Lock()
        self._state = self._refused = self._reported = files.state()
        self.current = make(files.credentials())
        """The channel of new calls."""
        self._retired: grpc.Channel | None = None
        self._closing: asyncio.Future[Any] | None = None
        self._look_time = monotonic()
        self._is_closed = False

    def made(self, make: Callable[[Any], Any], current: grpc.Channel) -> Any:
        """Return what `make` makes of a channel. Raises ValueError once closed: there gRPC ends the whole process."""
        with self._lock:
            if self._is_closed:
                raise ValueError("this client is closed")
            return make(current)

    def renewed(self) -> tuple[grpc.Channel, tuple[tuple[str, str], ...]]:
        """Return the channel of new calls and their metadata; look for changed files at most every LOOK_SECONDS."""
        if monotonic() - self._look_time >= LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._look_time = monotonic()
                self._files.renew_token()
                self._renew()
            finally:
                self._lock.release()
        return self.current, self._files.metadata()

    def _renew(self) -> None:
        """Make another channel if the files changed. The old one keeps its calls until the next change."""
        state = self._files.state()
        if state in (self._state, self._refused):
            return
        try:
            credentials = self._files.credentials()
            if self._files.state() != state:
                raise OSError("they changed while they were read")
        except OSError as error:
            if isinstance(error, ssl.SSLError):  # only one of the two files is renewed
                self._refused = state
            # Other errors may pass without a change of the files: they are read again, and reported once.
            if (state, str(error)) != self._reported:
                self._reported = state, str(error)
                _LOG.warning("certificate files refused, the old pair stays in use: %s", error)
            return
        self._state, fresh = state, self._make(credentials)
        if self._retired is not None and (closing := self._retired.close()) is not None:  # of asyncio
            self._closing = asyncio.ensure_future(closing)
        self._retired, self.current = self.current, fresh

    def subscribe(self, callback: Any, try_to_connect: bool | None = False) -> None:
        """Watch the present channel, not later ones."""
        self.current.subscribe(callback, bool(try_to_connect))

    def unsubscribe(self, callback: Any) -> None:
        self.current.unsubscribe(callback)

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return a callable; each of its calls uses the channel of that moment, so renewed certificates apply."""
        return _MultiCallable(self, "unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return _MultiCallable(self, "unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return _MultiCallable(self, "stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return _MultiCallable(self, "stream_stream", arguments, options)

    def held(self) -> list[Any]:
        """End the channel for new calls; return the channels in use, which the caller must close."""
        with self._lock:
            self._is_closed = True
            return [channel for channel in (self.current, self._retired) if channel is not None]

    def close(self) -> None:
        """Close the channels; later calls raise ValueError."""
        for channel in self.held():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _MultiCallable:
    def __init__(self, channel: CallerChannel, form: str, arguments: Sequence[Any], options: dict[str, Any]) -> None:
        self._channel = channel
        self._make: Callable[[Any], Any] = lambda current: getattr(current, form)(*arguments, **options)
        self._made: tuple[grpc.Channel | None, Any] = (None, None)

    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        method, caller_metadata = self._find_method(metadata)
        return method(request, timeout=timeout, metadata=caller_metadata, **options)

    def with_call(self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        method, caller_metadata = self._find_method(metadata)
        return method.with_call(request, timeout=timeout, metadata=caller_metadata, **options)

    def future(self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        method, caller_metadata = self._find_method(metadata)
        return method.future(request, timeout=timeout, metadata=caller_metadata, **options)

    def _find_method(self, metadata: Any) -> tuple[Any, Any]:
        current, caller_metadata = self._channel.renewed()
        made, method = self._made
        if made is not current:
            method = self._channel.made(self._make, current)
            self._made = (current, method)
        return method, (*(metadata or ()), *caller_metadata) or None
