"""The contract's Entry as JSON: as listed, and in people's short forms."""

import json
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from scoring.base.canonical import JsonObject, parse_json
from scoring.base.time import is_date, parse_day
from scoring.entries.field_types import parse_minor_units
from scoring.entries.kinds.table import KINDS
from sellertrust.v1.entry_pb2 import Entry

MAX_DEPTH = 8


def entry_of_json(text: str | bytes, marketplace: str) -> Entry:
    """Parse a JSON object into an entry's message, accepting short forms.

    `high` means HARM_HIGH, a bare seller id one in `marketplace`. A date means its first moment as `occur_time`, and
    its last as `report_time`. Raises ValueError.
    """
    try:
        values = parse_json(text)
        if not isinstance(values, dict):
            raise ValueError("write a JSON object, as `sellertrust ledger append --help` shows")
        return _expand_and_parse(values, marketplace)
    except json.JSONDecodeError as error:
        raise ValueError(f"the JSON object is not complete: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except json_format.ParseError as error:
        raise ValueError(str(error)) from None


def json_of_entry(entry: Entry) -> JsonObject:
    """Return an entry's message as JSON values, with the contract's names, a bare seller id and whole numbers.

    `entry_of_json(json.dumps(json_of_entry(entry)), marketplace) == entry` for a seller of the marketplace.
    """
    values = _convert_to_json(entry)
    if "seller" in values:
        values["seller"] = entry.seller.rsplit("/", 1)[-1]
    if (kind := entry.WhichOneof("fact")) is not None:
        values[kind] = _convert_to_json(getattr(entry, kind))
    return values


def _convert_to_json(message: Message) -> JsonObject:
    """Return a message in protobuf's JSON, but with int64 as numbers: none in the contract exceeds 2^53."""
    values: JsonObject = json_format.MessageToDict(message, preserving_proto_field_name=True)
    for field in message.DESCRIPTOR.fields:
        if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 and field.name in values:
            values[field.name] = int(values[field.name])
    return values


def _expand_and_parse(values: JsonObject, marketplace: str) -> Entry:
    seller = values.get("seller")
    if isinstance(seller, str) and seller and "/" not in seller:
        values["seller"] = f"marketplaces/{marketplace}/sellers/{seller}"
    for name, clock in _CLOCK_OF_DATE.items():
        if isinstance(text := values.get(name), str) and is_date(text):
            _parse_field(name, parse_day, text)
            values[name] = text + clock
    for fact, words in _ENUM_WORDS.items():
        fields = values.get(fact)
        if isinstance(fields, dict):
            for name in _AMOUNTS[fact] & fields.keys():
                if isinstance(fields[name], float | str):  # Python reads JSON's 1999.00 and 1e3 as floats
                    fields[name] = _parse_field(f"{fact}.{name}", parse_minor_units, str(fields[name]))
            for name in words.keys() & fields.keys():
                prefix, parse = words[name]
                if isinstance(fields[name], str):
                    word = _parse_field(f"{fact}.{name}", parse, fields[name].removeprefix(prefix))
                    fields[name] = prefix + word.name
    try:
        return json_format.ParseDict(values, Entry(), max_recursion_depth=MAX_DEPTH)
    except json_format.ParseError:
        _raise_about_wrong_field(values, Entry.DESCRIPTOR, "")
        raise


def _raise_about_wrong_field(values: JsonObject, kind: Descriptor, path: str) -> None:
    """Raise ValueError about the first unknown field or malformed time below `path`, if any."""
    for name, value in values.items():
        field = kind.fields_by_name.get(name) or kind.fields_by_camelcase_name.get(name)
        if field is None:
            near = get_close_matches(name, kind.fields_by_name, 2)
            advice = f"Did you mean {' or '.join(near)}?" if near else f"Known are {', '.join(kind.fields_by_name)}."
            raise ValueError(f"{path}{name[:80]} is no field. {advice}")
        if value is None or field.message_type is None:
            continue
        if field.message_type is Timestamp.DESCRIPTOR:
            try:
                Timestamp().FromJsonString(value)
            except (ValueError, TypeError, AttributeError):
                problem = f"{str(value)[:80]!r} is no time. Write it like 2026-06-20T10:00:00Z."
                raise ValueError(f"{path}{field.name}: {problem}") from None
        elif isinstance(value, dict):
            _raise_about_wrong_field(value, field.message_type, f"{path}{field.name}.")


def _parse_field(field: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def _make_enum_prefix(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"


def _list_spellings(name: str) -> tuple[str, str]:
    return name, re.sub("_([a-z])", lambda letter: letter[1].upper(), name)


_ENUM_WORDS = {
    kind.word: {
        name: (_make_enum_prefix(f.shape.proto), f.shape.parse)
        for f in row.fields
        if f.shape.kind == "word"
        for name in _list_spellings(f.name)
    }
    for kind, row in KINDS.items()
}
_AMOUNTS = {
    kind.word: {name for f in row.fields if f.shape.parse is parse_minor_units for name in _list_spellings(f.name)}
    for kind, row in KINDS.items()
}
_CLOCK_OF_DATE = {
    name: clock
    for names, clock in (
        (("occur_time", "occurTime"), "T00:00:00Z"),
        (("report_time", "reportTime"), "T23:59:59.999999Z"),
    )
    for name in names
}
