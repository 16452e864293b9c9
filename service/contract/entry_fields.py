import json
from collections.abc import Callable, Sequence
from typing import Any

from scoring.base.errors import FieldViolation, InvalidInput
from scoring.base.money import parse_amount, parse_currency
from scoring.base.time import format_time
from scoring.entries.field_types import FactField, parse_minor_units
from scoring.entries.kinds.table import BY_COMMAND, KINDS, Need
from sellertrust.v1.entry_pb2 import Entry
from service.contract.entry_json import entry_of_json

STATED_KINDS = {kind.word: row for kind, row in KINDS.items() if kind not in BY_COMMAND}
_JSON_CONVERTERS: dict[str, Callable[[Any], Any]] = {"count": int, "flag": bool, "ids": list, "time": format_time}
"""By the kind of a shape; other texts are JSON as they are."""


def entry_of_fields(kind: str, field_texts: Sequence[str], marketplace: str, entry_id: str) -> Entry:
    """Return an entry of a kind from texts `field=value`; `entry_id`: if no field states it.

    Ids are separated by blanks; `attributes.KEY=value` states one attribute; `500.00 EUR` also states the currency.
    Raises InvalidInput naming every wrong field.
    """
    row, wrong = STATED_KINDS[kind], []
    texts: dict[str, str] = {}
    for text in field_texts:
        name, equals, value = text.partition("=")
        if not equals:
            wrong.append(FieldViolation((text,), "is no field=value. Write it like reason='sold out'."))
        elif name in texts:
            wrong.append(FieldViolation((name,), "is stated twice. State it once."))
        texts[name] = value
    fields = {field.name: field for field in row.fields}
    needs = {"seller": row.seller, "occur_time": row.occur_time}
    common = ["entry_id", *(name for name, need in needs.items() if need is not Need.REFUSED)]
    needed = [name for name, need in needs.items() if need is Need.REQUIRED]
    needed += [field.name for field in row.fields if field.required]
    optional = [name for name in (*common, *fields) if name not in needed]
    advice = f"It needs {', '.join(needed)}, and may state {', '.join(optional)}."
    values: dict[str, Any] = {"entry_id": entry_id, kind: {}}
    for name, text in texts.items() if not wrong else ():
        field, _, key = name.partition(".")
        if name in common:
            values[name] = text
        elif field in fields and (not key or fields[field].shape.kind == "attributes"):
            try:
                _add_value(values[kind], fields[field], key, text, texts)
            except ValueError as error:
                wrong.append(FieldViolation((name,), str(error)))
        else:
            wrong.append(FieldViolation((name,), f"is no field of {kind}. {advice}"))
    missing = [name for name in needed if name not in texts and name not in values[kind]]
    if missing and not wrong:
        wrong = [FieldViolation((", ".join(missing),), f"is missing. {advice}")]
    if wrong:
        raise InvalidInput(wrong)
    try:
        return entry_of_json(json.dumps(values), marketplace)
    except ValueError as error:
        raise InvalidInput([FieldViolation(("FIELD=VALUE",), str(error))]) from None


def _add_value(values: dict[str, Any], field: FactField, key: str, text: str, all_texts: dict[str, str]) -> None:
    """Parse a field's text, and add its JSON value to `values`."""
    kind, parse = field.shape.kind, field.shape.parse
    if kind == "attributes":
        if not key:
            raise ValueError("states no key. Write attributes.KEY=value.")
        values.setdefault(field.name, {})[key] = text
    elif parse is parse_minor_units:
        currency = parse_currency(text)
        values[field.name] = parse_amount(text, all_texts.get("currency", currency))
        if currency:
            values.setdefault("currency", currency)
    else:
        value, convert = parse(text), _JSON_CONVERTERS.get(kind)
        values[field.name] = text if convert is None else convert(value)
