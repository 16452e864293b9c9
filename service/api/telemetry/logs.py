"""Logs: one canonical line a request, as JSON or for the console, with pseudonyms for sellers."""

import ast
import hmac
import json
import logging
import os
import queue
import re
import secrets
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from math import isfinite
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from scoring.base.errors import ConfigurationWrong

_WORD = re.compile(r"[A-Za-z0-9._~:-]+")
_PART = re.compile(r"[A-Za-z0-9_~-](?:[A-Za-z0-9._~-]*[A-Za-z0-9_~-])?")
_NAME_IN_ERROR = re.compile(r"""(?<=: )(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")|jwt:[^#\n]*#.*""")
"""A text that Python's repr quotes, or an unquoted name of a token's subject."""

MIN_KEY_BYTES = 16

MAX_PSEUDONYMS = 65_536
"""Cached pseudonyms, some 15 MB; computing one takes longer than the rest of a line."""

MAX_LINES = 10_000

GATHER_SECONDS = 0.02
"""Waking a thread for each line costs more than the line."""

FLUSH_SECONDS = 2.0

Renderer = Callable[[Any, str, EventDict], str]


class Log(Protocol):
    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
    def flush(self) -> None:
        """Wait until the deferred lines are written."""


def load_or_make_key(file: Path) -> bytes:
    """Return the secret key of pseudonyms in a file, which is made if it is absent. Safe for several processes."""
    if not file.exists():
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        draft.touch(0o600)
        draft.write_text(secrets.token_hex(32))
        with suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
    key = file.read_bytes()
    if len(key) < MIN_KEY_BYTES:
        raise ConfigurationWrong(
            f"{file} must hold at least {MIN_KEY_BYTES} bytes, or the pseudonyms can be guessed back"
        )
    return key


class Pseudonyms:
    """Keyed hashes of sellers, so that readers of the log cannot try all ids."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._find_pseudonym: Callable[[str], str] = lru_cache(MAX_PSEUDONYMS)(self._compute_pseudonym)

    def __call__(self, seller: str) -> str:
        """Return the pseudonym of a seller's resource name: 16 hex digits of HMAC-SHA256."""
        return self._find_pseudonym(seller)

    def _compute_pseudonym(self, seller: str) -> str:
        return hmac.digest(self._key, seller.encode(), "sha256").hex()[:16]


def log_name(principal: str, pseudonyms: Pseudonyms) -> str:
    """Return a principal's name for logs, with a token's subject, who may be a person, as a pseudonym.

    For example `jwt:https://login.example#~0123456789abcdef`. Names of certificates stay.
    """
    issuer, mark, _ = principal.partition("#")
    return f"{issuer}#~{pseudonyms(principal)}" if mark and principal.startswith("jwt:") else principal


def hide_subjects(text: str, pseudonyms: Pseudonyms) -> str:
    """Replace each subject after a `#` in a name by its pseudonym in an error text, as `log_name`.

    A quoted name ends with its quotes, another with its line.
    """
    return _NAME_IN_ERROR.sub(lambda found: _hide_subject(found[0], pseudonyms), text)


def _hide_subject(name: str, pseudonyms: Pseudonyms) -> str:
    quote = "" if name.startswith("jwt:") else name[0]
    whole = ast.literal_eval(name) if quote else name
    issuer, mark, _ = whole.partition("#")
    return f"{quote}{issuer}#~{pseudonyms(whole)}{quote}" if mark else name


def redact(text: str, sellers: Iterable[str], pseudonyms: Pseudonyms) -> str:
    """Replace sellers' ids in a text by pseudonyms; `sellers`: resource names."""
    pseudonym_of = {name.rsplit("/", 1)[-1]: pseudonyms(name) for name in sellers}
    return _WORD.sub(lambda word: _replace_word(word[0], pseudonym_of), text) if pseudonym_of else text


def _replace_word(word: str, pseudonym_of: Mapping[str, str]) -> str:
    return pseudonym_of.get(word) or _PART.sub(lambda part: pseudonym_of.get(part[0], part[0]), word)


_encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode


def _encode_float(value: float) -> str:
    return repr(value) if isfinite(value) else _encode(value)


_ENCODERS: dict[type, Callable[[Any], str]] = {str: encode_basestring, int: repr, float: _encode_float}
"""Fast JSON for the types of nearly all fields: a fourth of the time of `_encode`, same result."""


def _add_level_and_time(_: object, level: str, event: EventDict) -> EventDict:
    event["level"] = level
    event["timestamp"] = time.time_ns()
    return event


def render_json(_: object, __: str, event: EventDict) -> str:
    """Render a stamped event as `structlog.processors.JSONRenderer` would, in a third of the time."""
    event["timestamp"] = _format_time(event["timestamp"])
    fields = [f'"{key}": {_ENCODERS.get(type(value), _encode)(value)}' for key, value in event.items()]
    return f"{{{', '.join(fields)}}}"


def _make_console_renderer(out: TextIO) -> Renderer:
    """Return a renderer for people. Pretty tracebacks would show local variables, hence personal data."""
    render = structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=12
    )
    return lambda logger, level, event: render(logger, level, {**event, "timestamp": _format_time(event["timestamp"])})


def _format_time(time_ns: int) -> str:
    second, microsecond = divmod(time_ns // 1_000, 1_000_000)
    return f"{_format_second(second)}.{microsecond:06d}Z"


@lru_cache(4)
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LineWriter:
    """Renders and writes events to `out` in its own thread, so that no call waits for a disk, pipe or terminal.

    Drops lines that cannot be written, and events beyond MAX_LINES waiting.
    """

    def __init__(self, out: TextIO, render: Renderer) -> None:
        self._out = out
        self._render = render
        self._waiting: queue.SimpleQueue[EventDict | threading.Event] = queue.SimpleQueue()
        self._left_out = 0
        threading.Thread(target=self._write_batches, name="log", daemon=True).start()

    def put(self, event: EventDict) -> None:
        """Queue an event; drop and count it if MAX_LINES wait."""
        if self._waiting.qsize() < MAX_LINES:
            self._waiting.put(event)
        else:
            self._left_out += 1

    debug = info = warning = error = put

    def flush(self) -> None:
        """Wait at most FLUSH_SECONDS until the lines so far are written."""
        written = threading.Event()
        self._waiting.put(written)
        written.wait(FLUSH_SECONDS)

    def _write_batches(self) -> None:
        while True:
            batch = [self._waiting.get()]
            time.sleep(GATHER_SECONDS)
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            left_out, self._left_out = self._left_out, 0
            events = [item for item in batch if not isinstance(item, threading.Event)]
            if left_out:
                events.append(
                    _add_level_and_time(None, "warning", {"left_out": left_out, "event": "log lines left out"})
                )
            for part in _split_for_pipe(f"{self._render(None, event['level'], event)}\n" for event in events):
                with suppress(Exception):
                    self._out.write(part)
                    self._out.flush()
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()


def _split_for_pipe(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines in parts that a pipe takes atomically, so that processes' lines do not mix."""
    part: list[str] = []
    size = 0
    for text in lines:
        length = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if size + length > select.PIPE_BUF and part:
            yield "".join(part)
            part, size = [], 0
        part.append(text)
        size += length
    if part:
        yield "".join(part)


def make_log(
    log_format: str = "auto",
    level: str = "info",
    stream: TextIO | None = None,
    *,
    is_deferred: bool = False,
) -> Log:
    """Return a logger that writes one line an event to `stream` (default: stderr).

    `log_format`: `console`, `json`, or `auto`: console on a terminal. If deferred, another thread renders and writes.
    """
    out = sys.stderr if stream is None else stream
    is_json = log_format == "json" or (log_format == "auto" and not out.isatty())
    render = render_json if is_json else _make_console_renderer(out)
    writer = LineWriter(out, render) if is_deferred else structlog.WriteLogger(out)
    last: Processor = (lambda _, __, event: ((event,), {})) if is_deferred else render
    filtering: Any = structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])

    class Logger(filtering):  # type: ignore[misc]
        def flush(self) -> None:
            if isinstance(self._logger, LineWriter):
                self._logger.flush()

    return cast(Log, structlog.wrap_logger(writer, [_add_level_and_time, last], Logger).bind())
