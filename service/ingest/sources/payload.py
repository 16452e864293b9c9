from google.protobuf.message import DecodeError

from scoring.base.errors import invalid
from scoring.entries.entry import Entry
from sellertrust.v1 import entry_pb2
from service.contract.entries import entry_of
from service.contract.entry_json import entry_of_json
from service.contract.fields import FieldErrors
from service.contract.resource_names import SELLER_FORM


def entry_from_payload(payload: bytes, marketplace: str) -> Entry:
    """Parse a payload, JSON if it begins with `{`, which no protobuf tag does.

    The seller is a name in `marketplace` or a bare id. Raises InvalidInput.
    """
    if not payload:
        raise invalid("payload", "is empty; it must be an Entry as protobuf or JSON")
    return entry_from_json(payload, marketplace) if payload[:1] == b"{" else _from_protobuf(payload, marketplace)


def entry_from_json(text: str | bytes, marketplace: str) -> Entry:
    """Parse a JSON object as `entry_from_payload` does."""
    try:
        message = entry_of_json(text, marketplace)
    except ValueError as error:
        raise invalid("payload", f"is not an Entry as JSON: {error}") from None
    return _convert_message(message, marketplace)


def _from_protobuf(payload: bytes, marketplace: str) -> Entry:
    try:
        message = entry_pb2.Entry.FromString(payload)
    except DecodeError:
        raise invalid("payload", "is neither an Entry as protobuf nor a JSON object") from None
    if message.seller and "/" not in message.seller:
        message.seller = SELLER_FORM.format(marketplace=marketplace, seller=message.seller)
    return _convert_message(message, marketplace)


def _convert_message(message: entry_pb2.Entry, marketplace: str) -> Entry:
    field_errors = FieldErrors()
    entry = entry_of(marketplace, message, ("entry",), field_errors)
    field_errors.raise_if_any()
    if entry is None:
        raise invalid("payload", "is not an Entry")
    return entry
