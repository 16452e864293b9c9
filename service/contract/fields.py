from collections.abc import Callable
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from scoring.base.errors import FieldPath, FieldViolation, InvalidInput, invalid
from scoring.base.time import MAX_TIME, SECOND, parse_day

T = TypeVar("T")


class FieldErrors:
    """Collects wrong fields of several conversions for one InvalidInput."""

    def __init__(self) -> None:
        self.fields: list[FieldViolation] = []

    def convert(self, convert: Callable[..., T], *arguments: object) -> T | None:
        """Return `convert(*arguments)`; None if it raises InvalidInput, whose fields are collected."""
        try:
            return convert(*arguments)
        except InvalidInput as error:
            self.fields += error.violations
            return None

    def raise_if_any(self) -> None:
        if self.fields:
            raise InvalidInput(self.fields)


def time_of(message: Timestamp, field: str | FieldPath) -> int:
    """Return a Timestamp in microseconds since 1970, truncated.

    Raises InvalidInput for `field` outside 1970 to 9999 or with malformed `nanos`. Truncation moves no event into the
    future, and equal texts stay equal entries.
    """
    if not 0 <= message.nanos < 1_000_000_000:
        raise invalid(field, "must have nanos of 0 to 999,999,999")
    if not 0 <= message.seconds <= MAX_TIME // SECOND:
        raise invalid(field, "must lie between 1970 and 9999")
    return message.seconds * SECOND + message.nanos // 1_000


def optional_time(message: Message, field: str, path: FieldPath = ()) -> int | None:
    """Return a field's time in microseconds, None if unset; raises as `time_of` for `path` (default: the field)."""
    return time_of(getattr(message, field), path or field) if message.HasField(field) else None


def optional_duration(message: Message, field: str) -> int | None:
    """Return a field's duration in microseconds, None if unset. Raises InvalidInput if it is negative or malformed."""
    if not message.HasField(field):
        return None
    duration: Duration = getattr(message, field)
    if duration.seconds < 0 or not 0 <= duration.nanos < 1_000_000_000:
        raise invalid(field, "must not be negative")
    return duration.seconds * SECOND + duration.nanos // 1_000


def date_of(text: str, field: str | FieldPath) -> int:
    """Return a date's day since 1970-01-01. Raises InvalidInput for `field`."""
    try:
        return parse_day(text)
    except ValueError:
        raise invalid(field, f"must be a date of the form YYYY-MM-DD, not {text[:20]!r}") from None


def timestamp(time: int) -> Timestamp:
    """Convert microseconds: `timestamp(1_500_000) == Timestamp(seconds=1, nanos=500_000_000)`."""
    return Timestamp(seconds=time // SECOND, nanos=time % SECOND * 1_000)
