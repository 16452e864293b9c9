"""Errors of a mapping's rules that are known before any row is read."""

from collections.abc import Iterator, Mapping
from typing import Any

from scoring.base.errors import ConfigurationWrong
from scoring.entries.field_types import FactField, Shape
from scoring.entries.violation_types import TABLES

_TYPES = frozenset(key for _, table in TABLES for key in table)
_NEEDED = frozenset(["id", "text", "word", "time", "ids"])


def refuse_unknown(data: Mapping[str, Any], known: frozenset[str], where: str, kind: str = "") -> None:
    """Raise ConfigurationWrong for a table with unknown keys; `kind` is of an entry if the keys are its fields."""
    if unknown := sorted(set(data) - known):
        place = f"field of kind {kind}" if kind else "part of a mapping"
        raise ConfigurationWrong(f"{where}: {', '.join(unknown)} is no {place}; there are {', '.join(sorted(known))}")


def find_missing_fields(kind: str, data: Mapping[str, Any], fields: tuple[FactField, ...]) -> list[str]:
    names = [field.name for field in fields if field.required and field.shape.kind in _NEEDED]
    return [name for name in names if name not in data and (kind, name) != ("identity", "level")]


def find_wrong_constants(data: Mapping[str, Any], fields: tuple[FactField, ...], where: str) -> list[str]:
    """Return an error for each constant of a mapping that its field refuses, by its place in the mapping."""
    wrong = []
    for field in fields:
        for place, value in _list_constants(data.get(field.name), f"{where}.{field.name}"):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if text.strip() and (problem := _describe_problem(field, text.strip())):
                wrong.append(f"{place}: {problem}")
    return wrong


def _list_constants(stated: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(stated, Mapping):
        mapped = stated.get("map")
        for key, value in mapped.items() if isinstance(mapped, Mapping) else ():
            yield f"{where}.map.{key}", value
        bands = stated.get("bands")
        for number, band in enumerate(bands if isinstance(bands, list) else ()):
            if isinstance(band, list) and len(band) == 2:
                yield f"{where}.bands[{number}]", band[1]
        if stated.get("default") is not None:
            yield f"{where}.default", stated["default"]
    elif isinstance(stated, bool | int | float) or (isinstance(stated, str) and "{" not in stated):
        yield where, stated


def _describe_problem(field: FactField, text: str) -> str | None:
    if field.name == "violation_type":
        return None if text in _TYPES else f"{text!r} is no violation type; see docs/reference/violation-types.md"
    return _unreadable(field.shape, text)


def _unreadable(shape: Shape, text: str) -> str | None:
    if shape.kind in ("day", "time", "attributes"):
        return None
    try:
        value = shape.parse(text)
    except ValueError as error:
        return str(error)
    wrong = shape.describe_error(value)
    return None if wrong is None else f"{text!r} {wrong}"
