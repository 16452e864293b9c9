from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from scoring.base.errors import FieldPath, FieldViolation, InvalidInput, invalid
from scoring.base.time import MAX_TIME, SECOND, format_day, parse_day

T = TypeVar("T")
M = TypeVar("M", bound=Message)


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


@contextmanager
def prefix_violations(field: str) -> Iterator[None]:
    """Put `field` before the path of each violation that the `with` block raises."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(
            FieldViolation((field, *violation.path), violation.description) for violation in error.violations
        ) from None


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


def message_of(kind: type[M], /, *sources: object, **stated: Any) -> M:
    """Return a message: each field as `stated`, else the attribute of its name of the first source that has one.

    Microseconds become a Timestamp, days since 1970 a date, objects messages in the same way; None leaves a field unset.
    `message_of(Caution, caution)` reads `end_time` from `caution.end`.
    """
    for name, attributes, convert in _list_fields(kind.DESCRIPTOR):
        value = stated[name] if name in stated else _find_value(sources, attributes)
        if value is not None:
            stated[name] = value if convert is None else convert(value)
    return kind(**stated)


def _find_value(sources: Iterable[object], attributes: Iterable[str]) -> Any:
    for source in sources:
        for name in attributes:
            value = getattr(source, name, None)
            if value is not None:
                return value
    return None


Converter = Callable[[Any], Any] | None


@cache
def _list_fields(kind: Descriptor) -> list[tuple[str, list[str], Converter]]:
    rows = []
    for field in kind.fields:
        names = [field.name]
        if field.message_type is Timestamp.DESCRIPTOR:
            names.append(field.name.removesuffix("_time"))
        rows.append((field.name, names, _make_converter(field)))
    return rows


def _make_converter(field: Any) -> Converter:
    if field.message_type is Timestamp.DESCRIPTOR:
        return lambda value: timestamp(value) if isinstance(value, int) else value
    if field.message_type is not None and not field.message_type.GetOptions().map_entry:
        kind = GetMessageClass(field.message_type)

        def convert(value: Any) -> Message:
            return value if isinstance(value, Message) else message_of(kind, value)

        return (lambda values: [convert(value) for value in values]) if field.is_repeated else convert
    if field.type == FieldDescriptor.TYPE_STRING and field.name.endswith("day"):
        return lambda value: format_day(value) if isinstance(value, int) else value
    return None
