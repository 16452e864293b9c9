"""Times as integers: microseconds since 1970-01-01T00:00:00Z, and whole UTC days. The core has no clock."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

SECOND = 1_000_000
DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DATE = _EPOCH.date()
MAX_TIME = 253_402_300_799 * SECOND + 999_999  # 9999-12-31T23:59:59.999999Z
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def day_of(time: int) -> int:
    """Return the UTC day (days since 1970-01-01) of a time in microseconds.

    `day_of(86_400_000_000) == 1`.
    """
    return time // DAY


@lru_cache(maxsize=4096)
def parse_day(text: str) -> int:
    """Parse `YYYY-MM-DD` into days since 1970-01-01: `parse_day("1970-01-02") == 1`.

    Raise ValueError if it is not a date.
    """
    if not _DATE.fullmatch(text):
        raise ValueError(f"{text!r} is not a date of the form YYYY-MM-DD")
    try:
        return (date.fromisoformat(text) - _EPOCH_DATE).days
    except ValueError as error:
        raise ValueError(f"{text!r} is no date: {error}") from None


@lru_cache(maxsize=4096)
def format_day(day: int) -> str:
    """Format days since 1970-01-01 as `YYYY-MM-DD`: `format_day(1) == "1970-01-02"`."""
    return (_EPOCH_DATE + timedelta(days=day)).isoformat()


def is_date(text: str) -> bool:
    """Return whether the text has the form `YYYY-MM-DD`, even if there is no such day."""
    return _DATE.fullmatch(text) is not None


def parse_time(text: str) -> int:
    """Parse RFC 3339 text or a date (its UTC midnight) into microseconds since 1970:
    `parse_time("1970-01-01T00:00:01Z") == 1_000_000`.

    Raise ValueError, also without an offset.
    """
    if is_date(text):
        return parse_day(text) * DAY
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2026-03-01T12:00:00Z, nor a date") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC; write 2026-03-01T12:00:00Z")
    return (moment - _EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=4096)
def format_time(time: int) -> str:
    """Format microseconds since 1970 as RFC 3339 in UTC.

    `format_time(1_000_000) == "1970-01-01T00:00:01Z"`.
    """
    return (_EPOCH + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")
