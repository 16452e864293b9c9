"""Logs: one canonical line a request, as JSON or for the console, and pseudonyms in place of sellers.

Nothing here is global: a server gets its own logger, so two in one process (tests) do not share one.
"""

import hmac
import logging
import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TextIO, cast

import structlog

_WORD = re.compile(r"[A-Za-z0-9._~:-]+")
_PART = re.compile(r"[A-Za-z0-9_~-](?:[A-Za-z0-9._~-]*[A-Za-z0-9_~-])?")


class Log(Protocol):
    """What the service asks of a logger: an event and its fields."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class Pseudonyms:
    """Pseudonyms of sellers for logs: a keyed hash, so that whoever reads the log cannot try all ids.

    Without a key a random one is made: pseudonyms then hold for one run of the process.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def __call__(self, seller: str) -> str:
        """Return the pseudonym of a seller by its resource name: 16 hex digits of HMAC-SHA256, equal for equal names."""
        return hmac.digest(self._key, seller.encode(), "sha256").hex()[:16]


def log_name(principal: str, pseudonyms: Pseudonyms) -> str:
    """Return the name of a principal as logs have it: a token's subject as a pseudonym.

    It may be a person. Certificates name services, and stand in full: `dns:checkout.example`,
    `jwt:https://login.example#~0123456789abcdef`.
    """
    issuer, mark, _ = principal.partition("#")
    return f"{issuer}#~{pseudonyms(principal)}" if mark and principal.startswith("jwt:") else principal


def redact(text: str, sellers: Iterable[str], pseudonyms: Pseudonyms) -> str:
    """Return the text with each seller's id, as a word of its own, replaced by its pseudonym."""
    known = {name.rsplit("/", 1)[-1]: pseudonyms(name) for name in sellers}
    return _WORD.sub(lambda word: _replace_word(word[0], known), text) if known else text


def _replace_word(word: str, known: Mapping[str, str]) -> str:
    """Replace a word or its parts: an id may hold the very marks that end a sentence or follow a label."""
    return known.get(word) or _PART.sub(lambda part: known.get(part[0], part[0]), word)


def make_log(log_format: str = "auto", level: str = "info", stream: TextIO | None = None) -> Log:
    """Return a logger that writes to `stream` (default: stderr), one line an event.

    `log_format`: `console` for people, `json`, or `auto`: for people on a terminal, else JSON. Tracebacks are printed
    plainly: the pretty ones show local variables, hence personal data.
    """
    out = sys.stderr if stream is None else stream
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if console:
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
            wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        ),
    )
