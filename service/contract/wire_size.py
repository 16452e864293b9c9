"""How many fields a request has on the wire, counted before a message is built of them.

Sixteen megabytes hold eight million empty entries, and the message of them, with what a caller is asked about each, takes
gigabytes and a minute, also for a caller who is granted nothing.
"""

from contextlib import suppress

from google.protobuf.descriptor import Descriptor

from scoring.base.errors import invalid
from scoring.entries.entry import MAX_BATCH

MAX_FIELDS = MAX_BATCH + 100
"""Fields that a request may have: those of the largest batch, and what stands beside its entries."""

_NESTED = "append_entries"
"""The field of a proposal that holds a whole batch."""


def nested_batch(request: Descriptor) -> int:
    """Return the number of the field that holds a batch of entries within a request.

    0 if there is none.
    """
    field = request.fields_by_name.get(_NESTED)
    return 0 if field is None else field.number


def require_few_fields(data: bytes, nested: int) -> None:
    """Refuse a serialized request of more than MAX_FIELDS fields.

    Those within its field number `nested` included. Raises InvalidInput about `entries`. What is no message passes:
    parsing refuses it.
    """
    if len(data) > 2 * MAX_FIELDS and _count_fields(memoryview(data), nested) > MAX_FIELDS:
        raise invalid("entries", f"has more than {MAX_BATCH:,} entries; a batch holds 1 to {MAX_BATCH:,}, so split it")


def _count_fields(data: memoryview, nested: int) -> int:
    """Return the number of fields of a serialized message and of its fields `nested`.

    Counting stops not far beyond MAX_FIELDS.
    """
    place = fields = 0
    with suppress(IndexError):
        while place < len(data) and fields <= MAX_FIELDS:
            tag, place = _varint(data, place)
            fields += 1
            match tag & 7:
                case 0:
                    _, place = _varint(data, place)
                case 1:
                    place += 8
                case 5:
                    place += 4
                case 2:
                    size, place = _varint(data, place)
                    if nested and tag >> 3 == nested:
                        fields += _count_fields(data[place : place + size], 0)
                    place += size
                case _:  # groups, which no message of the contract has
                    break
    return fields


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return the varint at a place, and the place after it. IndexError if it does not end."""
    found = shift = 0
    while True:
        byte = data[place]
        place += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 63:
            return found, place
        shift += 7
