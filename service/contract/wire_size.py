"""Count a request's fields on the wire before building a message.

16 MB hold eight million empty entries, whose message and access check take gigabytes and a minute.
"""

from contextlib import suppress

from google.protobuf.descriptor import Descriptor

from scoring.base.errors import invalid
from scoring.entries.entry import MAX_BATCH

MAX_FIELDS = MAX_BATCH + 100

_BATCH_FIELD = "append_entries"
"""The field of a proposal that holds a whole AppendEntries request."""


def find_batch_field_number(request: Descriptor) -> int:
    """Return the number of the field for a proposed AppendEntries request; 0 if the message has none."""
    field = request.fields_by_name.get(_BATCH_FIELD)
    return 0 if field is None else field.number


def require_few_fields(data: bytes, nested: int) -> None:
    """Raise InvalidInput about `entries` for a serialized request of more than MAX_FIELDS fields.

    Counts the fields of its field `nested` too. Malformed bytes pass: parsing rejects them.
    """
    if len(data) > 2 * MAX_FIELDS and _count_fields(memoryview(data), nested) > MAX_FIELDS:
        raise invalid("entries", f"has more than {MAX_BATCH:,} entries; a batch holds 1 to {MAX_BATCH:,}, so split it")


def _count_fields(data: memoryview, nested: int) -> int:
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
                case _:
                    break
    return fields


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        byte = data[place]
        place += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 63:
            return found, place
        shift += 7
