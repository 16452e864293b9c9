from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_NAMES = ("marketplaces/", "models/", "policies/")


def row_of(message: Message, fields: str) -> dict[str, Any]:
    """Return a message's named fields in the words of the command line.

    `fields`: such as `seller model=stamp.model_digest`; `new=path` renames a possibly nested field. Enumerations become
    words, times text, resource names the last id. Unset fields are None.
    """
    pairs = (part.rpartition("=") for part in fields.split())
    return {new or path: _read_at_path(message, path.split(".")) for new, _, path in pairs}


def row_of_all_fields(message: Message) -> dict[str, Any]:
    return row_of(message, " ".join(field.name for field in message.DESCRIPTOR.fields))


def dict_of(message: Message) -> dict[str, Any]:
    """Return a message as JSON values by the contract's names, without zeros and empty lists."""
    return MessageToDict(message, preserving_proto_field_name=True)


def _read_at_path(message: Message, path: list[str]) -> Any:
    field, *inner_path = path
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    value: Any = getattr(message, field)
    if not isinstance(value, str | int | float | Message):
        return dict(value) if hasattr(value, "items") else [_convert_value(descriptor, item) for item in value]
    if descriptor.has_presence and not message.HasField(field):
        return None
    if inner_path and isinstance(value, Message):
        return _read_at_path(value, inner_path)
    return _convert_value(descriptor, value)


def _convert_value(descriptor: Any, value: Any) -> Any:
    if descriptor.enum_type is not None:
        names = descriptor.enum_type.values_by_number
        return names[value].name.removeprefix(names[0].name.removesuffix("UNSPECIFIED")).lower() if value else None
    if isinstance(value, Timestamp | Duration):
        return value.ToJsonString()
    if isinstance(value, Message):
        return row_of_all_fields(value)
    if isinstance(value, str) and value.startswith(_NAMES):
        return value.rpartition("/")[2]
    return value
