from collections.abc import Callable
from typing import Any, TypeVar

from scoring.base.enums import IdentityLevel
from scoring.entries.field_types import FactField
from service.ingest.mapping.cells import Row, RowRejected, Value
from service.ingest.mapping.dates import Dates, day_text

T = TypeVar("T")


def read_or_none(read: Callable[[Row], T], row: Row) -> T | None:
    try:
        return read(row)
    except RowRejected:
        return None


Step = tuple[str, Callable[[str], Any] | None, Callable[[], Any] | None]


def make_field_step(kind: str, field: FactField, is_mapped: bool) -> Step:
    """Return (field name, parser of its text, maker of its value if the text is empty or missing).

    Without a parser the text is taken as it is; without a maker the field is left out. The maker of a required word or
    day raises RowRejected, unless empty text is allowed. `is_mapped`: whether the rule names the field. An identity's
    level is NONE if not.
    """
    name, shape = field.name, field.shape
    if shape.kind == "attributes":
        return name, None, None
    read = None if shape.kind in ("id", "text") else shape.parse
    if not field.required:
        return name, read, None
    if read is None:
        return name, read, str
    if kind == "identity" and name == "level" and not is_mapped:
        return name, read, lambda: IdentityLevel.NONE
    if shape.kind in ("word", "day"):
        return name, read, lambda: read_text(name, "", shape.parse)
    return name, read, lambda: 0 if shape.kind == "count" else None


def read_text(field: str, text: str, reader: Callable[[str], T]) -> T:
    """Return the text as `reader` reads it; its ValueError becomes RowRejected about the field."""
    try:
        return reader(text)
    except ValueError as error:
        raise RowRejected(f"{field}: {error}") from None


MOMENTS = ("occur_time", "report_time")


def dated_value(value: Value, field: str, shape: str | None, dates: Dates) -> Value:
    """Return a function of the row for a field's text, in RFC 3339 if it is a date or time.

    If `shape` is a day, a time becomes its UTC day. The function raises RowRejected for a text of no known form.
    """
    if shape not in ("day", "time") or (shape == "time" and dates.are_plain):
        return value

    def read(row: Row) -> str:
        text = value(row).strip()
        text = read_text(field, text, dates.canonical) if text else ""
        return day_text(text) if shape == "day" else text

    return read
