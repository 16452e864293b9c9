"""The form of a file's dates and times, stated by a mapping; they become RFC 3339, which is always read. Pure.

Without an hour in its format a text is a date, known at the end of its day.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from scoring.base.frozen import frozen
from scoring.base.parts import Part
from scoring.base.time import DAY, MAX_TIME, SECOND, format_day, format_time, is_date, parse_day, parse_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCHS = {"epoch_seconds": SECOND, "epoch_milliseconds": 1000}
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")
_HOURS = re.compile(r"%[HIcX]")


@frozen
class Dates:
    formats: tuple[str, ...] = ()
    offset: timezone | None = None

    @property
    def are_plain(self) -> bool:
        """Return whether format and offset are both unstated: dates must be RFC 3339."""
        return not self.formats and self.offset is None

    def canonical(self, text: str) -> str:
        """Return a date or time of one of the file's forms in RFC 3339.

        Raises ValueError if it has none of them; if `are_plain`, any text is returned.
        `Dates(("%d/%m/%Y",)).canonical("02/10/2017") == "2017-10-02"`.
        """
        return text if self.are_plain else _parse_any_form(self, text)


PLAIN = Dates()


@lru_cache(maxsize=65_536)
def _parse_any_form(dates: Dates, text: str) -> str:
    for form in dates.formats:
        try:
            return _parse_by_form(form, text, dates.offset)
        except ValueError:
            continue
    try:
        return text if is_date(text) else _format_in_utc(datetime.fromisoformat(text), dates.offset)
    except ValueError:
        forms = " or ".join(dates.formats) or "RFC 3339, with or without its offset"
        raise ValueError(f"{text!r} is not of the form {forms}") from None


def _parse_by_form(form: str, text: str, offset: timezone | None) -> str:
    if form in _EPOCHS:
        try:
            moment = int(Decimal(text) * _EPOCHS[form])
        except (InvalidOperation, OverflowError):
            raise ValueError(text) from None
        if not 0 <= moment <= MAX_TIME:
            raise ValueError(text)
        return format_time(moment)
    read = datetime.strptime(text, form)  # noqa: DTZ007 - the offset is stated beside the format
    return _format_in_utc(read, offset) if _HOURS.search(form) else read.date().isoformat()


def _format_in_utc(moment: datetime, offset: timezone | None) -> str:
    if moment.tzinfo is None:
        if offset is None:
            raise ValueError("no offset")
        moment = moment.replace(tzinfo=offset)
    elapsed = moment - _EPOCH
    return format_time((elapsed.days * 86_400 + elapsed.seconds) * SECOND + elapsed.microseconds)


def add_days(text: str, days: int) -> str:
    """Return the date or time (RFC 3339) `days` days later: `add_days("2017-10-02", -1) == "2017-10-01"`.

    Raises ValueError.
    """
    if is_date(text):
        return format_day(parse_day(text) + days)
    return format_time(parse_time(text) + days * DAY)


def day_text(text: str) -> str:
    """Return the UTC day of a date or time in RFC 3339; else the text itself."""
    if is_date(text):
        return text
    try:
        return format_day(parse_time(text) // DAY)
    except ValueError:
        return text


def parse_dates(part: Part, default: Dates) -> Dates:
    """Read `dates` of a mapping or a file; by default `default`.

    It is a format, a list of formats, or a table of `format` and `offset`. A format is an epoch or has a %. If it has
    hours, it needs %z or a stated offset.
    """
    value = part.value("dates")
    if value is None:
        return default
    table = part.part("dates") if isinstance(value, Mapping) else None
    forms, offset = (value, None) if table is None else (table.value("format") or [], table.value("offset"))
    formats: list[Any] = [forms] if isinstance(forms, str) else forms if isinstance(forms, list) else [None]
    are_formats = all(isinstance(form, str) and (form in _EPOCHS or "%" in form) for form in formats)
    if not are_formats or not (formats or offset):
        part.refuse(
            "dates",
            f"must be a format such as %d/%m/%Y, {' or '.join(_EPOCHS)}, a list of them, or a table of format and offset",
        )
        return default
    if offset is None:
        if any(_HOURS.search(form) and "%z" not in form for form in formats):
            part.refuse("dates", 'has times; add their offset from UTC, such as offset = "+00:00"')
        return Dates(tuple(formats))
    offset_match = _OFFSET.fullmatch(offset) if isinstance(offset, str) else None
    if offset_match is None or int(offset_match[2]) > 23 or int(offset_match[3]) > 59:
        part.refuse("dates.offset", 'must be an offset from UTC such as "+00:00" or "-03:00"')
        return default
    minutes = int(offset_match[2]) * 60 + int(offset_match[3])
    return Dates(tuple(formats), timezone(timedelta(minutes=-minutes if offset_match[1] == "-" else minutes)))
