"""Errors of a mapping's rules that are known before any row is read."""

from scoring.base.parts import Part
from scoring.entries.field_types import FactField
from scoring.entries.kinds.table import KindRow, Need
from scoring.entries.violation_types import TABLES

_TYPES = frozenset(key for _, table in TABLES for key in table)
_NEEDED = frozenset(["id", "text", "word", "time", "ids", "day"])


def refuse_missing_fields(part: Part, row: KindRow) -> None:
    names = ["entry_id", *(name for name in ("seller", "occur_time") if getattr(row, name) is Need.REQUIRED)]
    names += [field.name for field in row.fields if field.required and field.shape.kind in _NEEDED]
    for name in names:
        if name not in part and (row.key, name) != ("identity", "level"):
            part.refuse(name, "is missing")


def describe_problem(field: FactField, text: str) -> str | None:
    """Return why a field refuses a constant; None if it takes it."""
    if field.name == "violation_type":
        return None if text in _TYPES else f"{text!r} is no violation type; see docs/reference/violation-types.md"
    if field.shape.kind in ("day", "time", "attributes"):
        return None
    try:
        value = field.shape.parse(text)
    except ValueError as error:
        return str(error)
    wrong = field.shape.describe_error(value)
    return None if wrong is None else f"{text!r} {wrong}"
