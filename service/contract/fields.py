"""Times of the contract to the domain and back, and what is wrong with a request, collected field by field."""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from scoring.base.errors import FieldPath, FieldViolation, InvalidInput, invalid
from scoring.base.time import MAX_TIME, SECOND

T = TypeVar("T")


class FieldErrors:
    """The wrong fields of a request, collected while it is converted."""

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
        """Raise InvalidInput with all fields collected, if there are any."""
        if self.fields:
            raise InvalidInput(self.fields)


def time_of(message: Timestamp, field: str | FieldPath) -> int:
    """Return a Timestamp as microseconds since 1970; what is finer is cut off.

    InvalidInput, naming `field`, outside 1970 to 9999, or if `nanos` is malformed. Clients in Go and Java send
    nanoseconds. Cutting them off moves no event into the future, and the same text twice stays the same entry.
    """
    if not 0 <= message.nanos < 1_000_000_000:
        raise invalid(field, "must have nanos of 0 to 999,999,999")
    if not 0 <= message.seconds <= MAX_TIME // SECOND:
        raise invalid(field, "must lie between 1970 and 9999")
    return message.seconds * SECOND + message.nanos // 1_000


def optional_time(message: Message, field: str, path: FieldPath = ()) -> int | None:
    """Return the time in a message's field, in microseconds; None if it is not set.

    InvalidInput, naming `path` (default: the field), as `time_of`: outside 1970 to 9999, or malformed.
    """
    return time_of(getattr(message, field), path or field) if message.HasField(field) else None


def optional_duration(message: Message, field: str) -> int | None:
    """Return the duration in a message's field, in microseconds; None if it is not set.

    InvalidInput, naming the field, if it is negative or malformed.
    """
    if not message.HasField(field):
        return None
    duration: Duration = getattr(message, field)
    if duration.seconds < 0 or not 0 <= duration.nanos < 1_000_000_000:
        raise invalid(field, "must not be negative")
    return duration.seconds * SECOND + duration.nanos // 1_000


def timestamp(time: int) -> Timestamp:
    """Return microseconds since 1970 as a Timestamp.

    `timestamp(1_500_000) == Timestamp(seconds=1, nanos=500_000_000)`.
    """
    return Timestamp(seconds=time // SECOND, nanos=time % SECOND * 1_000)
