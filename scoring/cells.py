"""What a mapping reads of a row: texts made of its cells, and conditions on them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoring.errors import ConfigurationWrong
from scoring.time import parse_time

Row = Mapping[str, str]
Value = Callable[[Row], str]
Test = Callable[[Row], bool]

_HOLE = re.compile(r"\{([^{}]+)\}")


class RowRejected(ValueError):
    """A row that cannot become an entry; says the field and what is wrong with it."""


def cell(row: Row, column: str) -> str:
    """The row's text in a column. RowRejected if there is no such column."""
    try:
        return row[column] or ""
    except KeyError:
        raise RowRejected(f"there is no column {column!r}; the file has {', '.join(list(row)[:20])}") from None


def _column(name: str) -> Value:
    """The row's text in a column."""

    def read(row: Row) -> str:
        return row.get(name) or cell(row, name)

    return read


def value_of(data: Any, where: str) -> Value:
    """A text with holes, a constant, or a table of column, map and default, as a function of the row."""
    if isinstance(data, bool | int | float):
        constant = _text(data)
        return lambda _: constant
    if isinstance(data, str):
        holes = _HOLE.findall(data)
        if not holes:
            return lambda _: data
        if data == "{" + holes[0] + "}":
            return _column(holes[0])
        return lambda row: _HOLE.sub(lambda hole: cell(row, hole.group(1)), data)
    if (
        isinstance(data, Mapping)
        and isinstance(data.get("column"), str)
        and isinstance(data.get("map", {}), Mapping)
        and set(data) <= {"column", "map", "default"}
    ):
        column, mapped, default = data["column"], data.get("map"), data.get("default")

        def look_up(row: Row) -> str:
            text = cell(row, column).strip()
            if mapped is None:
                return text or ("" if default is None else _text(default))
            if text in mapped:
                return _text(mapped[text])
            if default is None:
                raise RowRejected(f"{where.rsplit('.', 1)[-1]}: {text!r} in column {column} is not in the map")
            return _text(default)

        return look_up
    raise ConfigurationWrong(f"{where} must be a text, a number, or a table of column, map and default")


def _text(constant: object) -> str:
    return str(constant).lower() if isinstance(constant, bool) else str(constant)


def tests_of(data: Sequence[Mapping[str, Any]] | Mapping[str, Any], where: str) -> tuple[Test, ...]:
    """The conditions of a `when`, as functions of the row. ConfigurationWrong."""
    conditions = [data] if isinstance(data, Mapping) else data
    if conditions and not are_tables(conditions):
        raise ConfigurationWrong(f"{where}.when must be a condition or a list of them, each a table")
    return tuple(_condition(condition, f"{where}.when") for condition in conditions)


def _condition(data: Mapping[str, Any], where: str) -> Test:
    """One condition on a column: equals, in, filled, below, above (numbers), before, after (a time or date, as text or
    of another column as `{column}`).
    """
    column = data.get("column")
    rest = {key: value for key, value in data.items() if key != "column"}
    if not isinstance(column, str) or len(rest) != 1 or not set(rest) <= set(_OPERATORS):
        raise ConfigurationWrong(f"{where} must give column and one of {', '.join(_OPERATORS)}")
    ((name, operand),) = rest.items()
    operator = _OPERATORS[name]
    is_moment = name in ("before", "after")
    fits = isinstance(operand, operator.operand) and not (operator.operand == _NUMBER and isinstance(operand, bool))
    if not fits or (is_moment and not _HOLE.search(operand) and _moment(operand) is None):
        raise ConfigurationWrong(f"{where}: {name} needs {operator.words}, not {operand!r}")
    if is_moment:
        other = value_of(operand, where)
        return lambda row: operator.holds(cell(row, column).strip(), other(row).strip())
    wanted, holds, read = operator.prepared(operand), operator.holds, _column(column)
    return lambda row: holds(read(row).strip(), wanted)


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _moment(text: str) -> int | None:
    try:
        return parse_time(text)
    except ValueError:
        return None


def _later(a: str, b: str) -> bool:
    first, second = _moment(a), _moment(b)
    return first is not None and second is not None and first > second


@dataclass(frozen=True, slots=True)
class _Operator:
    """How a condition is tested, what its operand must be, by type and in words, and how it is prepared once."""

    holds: Callable[[str, Any], bool]
    operand: type | tuple[type, ...]
    words: str
    prepared: Callable[[Any], Any] = lambda operand: operand


_NUMBER = (int, float)
_OPERATORS: Mapping[str, _Operator] = {
    "equals": _Operator(str.__eq__, (str, *_NUMBER), "a text or a number", _text),
    "in": _Operator(lambda text, others: text in others, list, "a list", lambda others: frozenset(map(_text, others))),
    "filled": _Operator(lambda text, wanted: bool(text) == wanted, bool, "true or false"),
    "below": _Operator(lambda text, bound: _as_number(text) < bound, _NUMBER, "a number"),
    "above": _Operator(lambda text, bound: _as_number(text) > bound, _NUMBER, "a number"),
    "before": _Operator(lambda text, bound: _later(bound, text), str, "a time, a date or a {column}"),
    "after": _Operator(_later, str, "a time, a date or a {column}"),
}


def are_tables(data: object) -> bool:
    """Whether something read from TOML is a list of tables, and not an empty one."""
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(item, Mapping) for item in data)
