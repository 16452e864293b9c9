"""Count a request's fields on the wire, then parse it.

16 MB hold eight million empty entries, whose message and access check take gigabytes and a minute.
"""

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from scoring.base.errors import invalid
from scoring.entries.entry import MAX_BATCH
from sellertrust.version import VERSION
from service.engine.wire import MAX_FIELDS, walk_fields

_BATCH_FIELD = "append_entries"


def find_batch_field_number(request: Descriptor) -> int:
    """Return the number of the field for a proposed AppendEntries request; 0 without it."""
    field = request.fields_by_name.get(_BATCH_FIELD)
    return 0 if field is None else field.number


def require_few_fields(data: bytes, nested: int) -> None:
    """Raise InvalidInput about `entries` for a serialized request of more than MAX_FIELDS fields.

    Counts the fields of its field `nested` too. Malformed bytes pass: parsing rejects them.
    """
    if len(data) > 2 * MAX_FIELDS and _count_fields(memoryview(data), nested) > MAX_FIELDS:
        raise invalid("entries", f"has more than {MAX_BATCH:,} entries; a batch holds 1 to {MAX_BATCH:,}, so split it")


def parse(kind: type[Message], data: bytes) -> Message:
    """Parse a request. Raises InvalidInput about `request` for malformed bytes and unknown fields."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise invalid("request", f"is not a {name}: garbled, cut short, nested too deep, or text not UTF-8") from None
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise invalid("request", f"has fields that this server ({VERSION}) does not know; use a client of its version")
    return message


def _count_fields(data: memoryview, nested: int) -> int:
    fields = 0
    for number, begin, end in walk_fields(data):
        fields += 1
        if nested and number == nested:
            fields += _count_fields(data[begin:end], 0)
        if fields > MAX_FIELDS:
            break
    return fields
