"""Logs: one canonical line a request, as JSON or for the console, with pseudonyms for sellers.

Each server has its own loggers, also two servers in one process (tests).
"""

import ast
import hmac
import json
import logging
import queue
import re
import secrets
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from math import isfinite
from types import MappingProxyType
from typing import Any, Protocol, TextIO, cast

import structlog

_WORD = re.compile(r"[A-Za-z0-9._~:-]+")
_PART = re.compile(r"[A-Za-z0-9_~-](?:[A-Za-z0-9._~-]*[A-Za-z0-9_~-])?")
_NAMED = re.compile(r"""(?<=: )(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")|jwt:[^#\n]*#.*""")
"""A text that Python's repr quotes, or an unquoted name of a token's subject."""

MAX_PSEUDONYMS = 65_536
"""Cached pseudonyms, some 15 MB; computing one takes longer than the rest of a line."""

MAX_LINES = 10_000
"""Lines that may wait to be written; further lines are dropped and counted."""

GATHER_SECONDS = 0.02
"""Lines are gathered this long: waking a thread for each costs more than the line."""

FLUSH_SECONDS = 2.0


class Log(Protocol):
    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class Pseudonyms:
    """Keyed hashes of sellers, so that readers of the log cannot try all ids.

    Without a key they last for one run of the process.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._known: Callable[[str], str] = lru_cache(MAX_PSEUDONYMS)(self._compute)

    def __call__(self, seller: str) -> str:
        """Return the pseudonym of a seller's resource name: 16 hex digits of HMAC-SHA256."""
        return self._known(seller)

    def _compute(self, seller: str) -> str:
        return hmac.digest(self._key, seller.encode(), "sha256").hex()[:16]


def log_name(principal: str, pseudonyms: Pseudonyms) -> str:
    """Return a principal's name for logs, with a token's subject, who may be a person, as a pseudonym.

    For example `jwt:https://login.example#~0123456789abcdef`. Certificates name services and stay:
    `dns:checkout.example`.
    """
    issuer, mark, _ = principal.partition("#")
    return f"{issuer}#~{pseudonyms(principal)}" if mark and principal.startswith("jwt:") else principal


def hide_subjects(text: str, pseudonyms: Pseudonyms) -> str:
    """Replace each subject after a `#` in a name by its pseudonym in an error text, as `log_name`.

    A quoted name ends with its quotes, another with its line.
    """
    return _NAMED.sub(lambda found: _hide_subject(found[0], pseudonyms), text)


def _hide_subject(name: str, pseudonyms: Pseudonyms) -> str:
    quote = "" if name.startswith("jwt:") else name[0]
    whole = ast.literal_eval(name) if quote else name
    issuer, mark, _ = whole.partition("#")
    return f"{quote}{issuer}#~{pseudonyms(whole)}{quote}" if mark else name


def redact(text: str, sellers: Iterable[str], pseudonyms: Pseudonyms) -> str:
    """Return the text with each seller's id that is a separate word replaced by its pseudonym."""
    known = {name.rsplit("/", 1)[-1]: pseudonyms(name) for name in sellers}
    return _WORD.sub(lambda word: _replace_word(word[0], known), text) if known else text


def _replace_word(word: str, known: Mapping[str, str]) -> str:
    """Replace a word or its parts: an id may hold marks that end a sentence or follow a label."""
    return known.get(word) or _PART.sub(lambda part: known.get(part[0], part[0]), word)


_encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode


def _float_text(value: float) -> str:
    return repr(value) if isfinite(value) else _encode(value)


_TEXTS: dict[type, Callable[[Any], str]] = {str: encode_basestring, int: repr, float: _float_text}
"""Fast JSON for the types of nearly all fields: a fourth of the time of `_encode`, same result."""


@dataclass(slots=True)
class Line:
    level: str
    event: str
    fields: Mapping[str, Any]
    time_ns: int
    """Nanoseconds since 1970."""

    def text(self) -> str:
        """Return the line as JSON: the fields, then event, level and time."""
        second, microsecond = divmod(self.time_ns // 1_000, 1_000_000)
        timestamp = f"{_second_text(second)}.{microsecond:06d}Z"
        fields = [f'"{key}": {_TEXTS.get(type(value), _encode)(value)}, ' for key, value in self.fields.items()]
        event = encode_basestring(self.event)
        return f'{{{"".join(fields)}"event": {event}, "level": "{self.level}", "timestamp": "{timestamp}"}}\n'


@lru_cache(4)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LineWriter:
    """Writes lines to `out` from its own thread, so that no call waits for a disk or pipe.

    Drops lines that cannot be written, and lines beyond MAX_LINES waiting.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: queue.SimpleQueue[Line | threading.Event] = queue.SimpleQueue()
        self._left_out = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def __call__(self, line: Line) -> None:
        if self._waiting.qsize() < MAX_LINES:
            self._waiting.put(line)
        else:
            self._left_out += 1

    def flush(self) -> None:
        written = threading.Event()
        self._waiting.put(written)
        written.wait(FLUSH_SECONDS)

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            time.sleep(GATHER_SECONDS)
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            left_out, self._left_out = self._left_out, 0
            lines = [item for item in batch if isinstance(item, Line)]
            if left_out:
                lines.append(Line("warning", "log lines left out", {"left_out": left_out}, time.time_ns()))
            for part in _parts_of(lines):
                with suppress(Exception):
                    self._out.write(part)
                    self._out.flush()
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()


def _parts_of(lines: Iterable[Line]) -> Iterator[str]:
    """Yield lines in parts that a pipe takes atomically, so that processes' lines do not mix."""
    part: list[str] = []
    size = 0
    for line in lines:
        text = line.text()
        length = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if size + length > select.PIPE_BUF and part:
            yield "".join(part)
            part, size = [], 0
        part.append(text)
        size += length
    if part:
        yield "".join(part)


class JsonLog:
    """A logger of JSON lines from a level on, each with the fields `also`.

    A line of ten fields costs 4.5 us (structlog's renderer: 10.6 us); the calling thread pays 1.2 us.
    """

    def __init__(
        self, level: int, write: Callable[[Line], None], also: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self._level = level
        self._write = write
        self._also = dict(also)

    def debug(self, event: str, **fields: Any) -> None:
        self._log(logging.DEBUG, "debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._log(logging.INFO, "info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._log(logging.WARNING, "warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log(logging.ERROR, "error", event, fields)

    def flush(self) -> None:
        if isinstance(self._write, LineWriter):
            self._write.flush()

    def _log(self, level: int, name: str, event: str, fields: dict[str, Any]) -> None:
        if level >= self._level:
            self._write(Line(name, event, fields | self._also if self._also else fields, time.time_ns()))


def _locked(out: TextIO) -> Callable[[Line], None]:
    lock = threading.Lock()

    def write(line: Line) -> None:
        with lock:
            out.write(line.text())
            out.flush()

    return write


def is_for_people(log: Log) -> bool:
    """Return whether a logger writes for a terminal, in the thread that logs."""
    return not isinstance(log, JsonLog)


def flush_log(log: Log) -> None:
    """Wait until the queued lines of a logger with its own thread are written."""
    if isinstance(log, JsonLog):
        log.flush()


def make_log(
    log_format: str = "auto",
    level: str = "info",
    stream: TextIO | None = None,
    *,
    is_deferred: bool = False,
    also: Mapping[str, Any] = MappingProxyType({}),
) -> Log:
    """Return a logger that writes one line an event to `stream` (default: stderr).

    `log_format`: `console`, `json`, or `auto`: console on a terminal. If deferred, another thread writes the JSON. Each
    line has the fields `also`. Tracebacks are plain: pretty ones show local variables, hence personal data.
    """
    out = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    if log_format == "json" or (log_format == "auto" and not out.isatty()):
        return JsonLog(number, LineWriter(out) if is_deferred else _locked(out), also)
    renderer = structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=12
    )
    return cast(
        Log,
        structlog.wrap_logger(
            structlog.WriteLogger(out),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(number),
            **also,
        ),
    )
