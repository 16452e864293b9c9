"""What every command that asks the server needs: settings, a client, times from text."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from scoring.errors import invalid
from scoring.time import MAX_TIME, parse_time
from sellertrust.client import Client
from service.settings import Settings, load

Marketplace = Annotated[
    str | None, typer.Option("--marketplace", "-m", help="Marketplace; default: SELLERTRUST_MARKETPLACE.")
]
ObserveTime = Annotated[
    str | None, typer.Option("--observe-time", metavar="T", help="Answer as of then: a time (RFC 3339) or a date.")
]
KnownTime = Annotated[
    str | None, typer.Option("--known-time", metavar="T", help="With the knowledge of then: a time or a date.")
]


@contextmanager
def client() -> Iterator[tuple[Client, Settings]]:
    """A client of the configured server, and the settings."""
    settings = load()
    with Client(settings.target, tls=settings.target_ca) as connection:
        yield connection, settings


def moment(text: str | None, option: str) -> datetime | None:
    """A time from the command line. InvalidInput names the option."""
    if text is None:
        return None
    try:
        microseconds = parse_time(text)
    except ValueError as error:
        raise invalid(option, str(error)) from None
    if not 0 <= microseconds <= MAX_TIME:
        raise invalid(option, "must lie between 1970 and 9999")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def marketplace_of(option: str | None, settings: Settings) -> str:
    """The marketplace meant: the option's, else the configured one."""
    return option or settings.marketplace
