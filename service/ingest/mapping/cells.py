import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import partial
from typing import Any

from scoring.base.errors import ConfigurationWrong
from scoring.base.time import parse_time
from service.ingest.mapping.dates import PLAIN, Dates, add_days, day_text

Row = Mapping[str, str]
Value = Callable[[Row], str]
Test = Callable[[Row], bool]

_HOLE = re.compile(r"\{([^{}]+)\}")


class RowRejected(ValueError):
    """Names the field and the problem."""


def cell(row: Row, column: str) -> str:
    """Return the text in a column, "" if empty. Raises RowRejected without the column."""
    try:
        return row[column] or ""
    except KeyError:
        raise RowRejected(f"there is no column {column!r}; the file has {', '.join(list(row)[:20])}") from None


def _hole(name: str, dates: Dates) -> Value:
    if not name.endswith(_DAY):
        return partial(cell, column=name)
    column = name.removesuffix(_DAY)

    def read(row: Row) -> str:
        text = cell(row, column).strip()
        try:
            return day_text(dates.canonical(text)) if text else ""
        except ValueError as error:
            raise RowRejected(f"{column}: {error}") from None

    return read


_DAY = ":day"


def value_of(data: Any, where: str, dates: Dates = PLAIN) -> Value:
    """Compile a mapping's value into a function from row to text.

    `data` is a constant, a text with `{COLUMN}`, or a table with column, map, bands and so on; `where` names it in
    messages. Raises ConfigurationWrong.
    """
    if isinstance(data, bool | int | float):
        constant = _text(data)
        return lambda _: constant
    if isinstance(data, str):
        holes = _HOLE.findall(data)
        if not holes:
            return lambda _: data
        read = {name: _hole(name, dates) for name in holes}
        if data == "{" + holes[0] + "}":
            return read[holes[0]]
        return lambda row: _HOLE.sub(lambda hole: read[hole.group(1)](row).strip(), data)
    if isinstance(data, Mapping) and isinstance(data.get("column"), str) and set(data) <= _TABLE_KEYS:
        return _read_column_by_table(data, where, dates)
    if isinstance(data, Mapping) and set(data) in ({"first"}, {"first", "default"}):
        return _first(data, where)
    raise ConfigurationWrong(
        f"{where} must be a text, a number, or a table: of column and one of {', '.join(_CHANGES)}, or of first, each with an"
        " optional default"
    )


def _first(data: Mapping[str, Any], where: str) -> Value:
    columns, default = data["first"], _text(data.get("default", ""))
    if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
        raise ConfigurationWrong(f"{where}.first must list columns")

    def read(row: Row) -> str:
        texts = [cell(row, name).strip() for name in columns]
        return next(filter(None, texts), default)

    return read


Change = Callable[[str], str | None]


def _read_column_by_table(data: Mapping[str, Any], where: str, dates: Dates) -> Value:
    """Return a column's text by a table of the mapping.

    The table looks it up in `map` or in the `bands` of a number (else `default`), moves a date by `plus_days`, or
    multiplies a number by `multiply`, rounded.
    """
    field = where.rsplit(".", 1)[-1]
    column, default = data["column"], data.get("default")
    asked = [name for name in _CHANGES if data.get(name) is not None]
    if len(asked) > 1:
        raise ConfigurationWrong(f"{where} must be a table of column and one of {', '.join(_CHANGES)}")
    change = _CHANGES[asked[0]](data[asked[0]], where, field, dates) if asked else None

    def read(row: Row) -> str:
        text = cell(row, column).strip()
        if not text and asked != ["map"]:
            return "" if default is None else _text(default)
        found = change(text) if change else text
        if found is None and default is None:
            place = "the map" if asked == ["map"] else "a band: it is below the first one"
            raise RowRejected(f"{field}: {text!r} in column {column} is not in {place}")
        return _text(default) if found is None else found

    return read


def _mapped(texts: Any, where: str, _field: str, _dates: Dates) -> Change:
    if not isinstance(texts, Mapping):
        raise ConfigurationWrong(f"{where}.map must be a table of texts and what they stand for")
    known = {key: _text(value) for key, value in texts.items()}
    return known.get


def _banded(bands: Any, where: str, field: str, _dates: Dates) -> Change:
    """Return a function from a number to its band's text; below the first band None.

    Raises ConfigurationWrong unless `bands` are pairs of a rising number and a text.
    """
    pairs = bands if isinstance(bands, list) else []
    good = [p for p in pairs if isinstance(p, list) and len(p) == 2 and _is_number(p[0]) and math.isfinite(p[0])]
    starts = [Decimal(str(pair[0])) for pair in good]
    if not good or len(good) < len(pairs) or starts != sorted(set(starts)):
        raise ConfigurationWrong(
            f'{where}.bands must list pairs of a number and what stands from it on, rising: [[0, "low"], [28, "high"]]'
        )
    texts = [_text(pair[1]) for pair in good]

    def change(text: str) -> str | None:
        place = bisect_right(starts, number(text, field))
        return texts[place - 1] if place else None

    return change


def _move_days(days: Any, where: str, field: str, dates: Dates) -> Change:
    if not isinstance(days, int) or isinstance(days, bool):
        raise ConfigurationWrong(f"{where}.plus_days must be a whole number of days")

    def change(text: str) -> str:
        try:
            return add_days(dates.canonical(text), days)
        except (ValueError, OverflowError) as error:
            raise RowRejected(f"{field}: {error}") from None

    return change


def _multiplied(factor: Any, where: str, field: str, _dates: Dates) -> Change:
    if not _is_number(factor):
        raise ConfigurationWrong(f"{where}.multiply must be a number")
    times = Decimal(str(factor))
    return lambda text: whole(number(text, field) * times)


_CHANGES: Mapping[str, Callable[[Any, str, str, Dates], Change]] = {
    "map": _mapped,
    "bands": _banded,
    "plus_days": _move_days,
    "multiply": _multiplied,
}
_TABLE_KEYS = frozenset(["column", "default", *_CHANGES])


def number(text: str, field: str) -> Decimal:
    """Parse a finite number. Raises RowRejected if malformed or too long."""
    try:
        read = Decimal(text)
    except InvalidOperation:
        raise RowRejected(f"{field}: {text!r} is not a number") from None
    if not read.is_finite() or abs(read.adjusted()) > MAX_DIGITS:
        raise RowRejected(f"{field}: {text!r} is not a number of at most {MAX_DIGITS} digits")
    return read


MAX_DIGITS = 20


def whole(value: Decimal) -> str:
    """Round to the nearest integer, halves to even, as text: `whole(Decimal("58.9") * 100) == "5890"`."""
    return str(int(value.to_integral_value(ROUND_HALF_EVEN)))


def _text(constant: object) -> str:
    return str(constant).lower() if isinstance(constant, bool) else str(constant)


def tests_of(data: Sequence[Mapping[str, Any]] | Mapping[str, Any], where: str, dates: Dates) -> tuple[Test, ...]:
    """Compile the conditions of a `when`, one table or a list. Raises ConfigurationWrong."""
    conditions = [data] if isinstance(data, Mapping) else data
    if conditions and not are_tables(conditions):
        raise ConfigurationWrong(f"{where}.when must be a condition or a list of them, each a table")
    return tuple(_condition(condition, f"{where}.when", dates) for condition in conditions)


def _condition(data: Mapping[str, Any], where: str, dates: Dates) -> Test:
    """Return one condition as a function of the row.

    Conditions: equals, in, not_in, contains, filled, below, above (numbers), before, after (a time or date as text,
    `{column}`, or `{ column = "...", plus_days = 3 }`).
    """
    column = data.get("column")
    rest = {key: value for key, value in data.items() if key != "column"}
    if not isinstance(column, str) or len(rest) != 1 or not set(rest) <= set(_OPERATORS):
        raise ConfigurationWrong(f"{where} must give column and one of {', '.join(_OPERATORS)}")
    ((name, operand),) = rest.items()
    operator = _OPERATORS[name]
    is_moment = name in ("before", "after")
    fits = isinstance(operand, operator.operand) and not (operator.operand == _NUMBER and isinstance(operand, bool))
    is_text = isinstance(operand, str) and not _HOLE.search(operand)
    if not fits or (is_moment and is_text and _parse_moment(operand, dates) is None):
        raise ConfigurationWrong(f"{where}: {name} needs {operator.words}, not {operand!r}")
    read = partial(cell, column=column)
    if is_moment:
        other = value_of(operand, where, dates)
        # An empty cell has no order. A text that is no time is rejected, so that the row is reported.
        return lambda row: operator.holds(
            _read_moment(read(row), column, dates), _read_moment(other(row), column, dates)
        )
    if operator.operand == _NUMBER:
        return lambda row: operator.holds(_read_number(read(row).strip(), column), operand)
    wanted, holds = operator.prepared(operand), operator.holds
    return lambda row: holds(read(row).strip(), wanted)


def _read_number(text: str, column: str) -> float:
    """Return a cell's number; NaN if empty, which is neither below nor above. Raises RowRejected."""
    try:
        number = float(text or "nan")
    except ValueError:
        number = math.inf
    if text and not math.isfinite(number):
        raise RowRejected(
            f"{column}: {text!r} is not a number, which a condition asks for; leave such rows out by not_in before it"
        )
    return number


def _read_moment(text: str, column: str, dates: Dates) -> int | None:
    """Return a cell's moment; None if empty. Raises RowRejected."""
    moment = _parse_moment(text := text.strip(), dates)
    if text and moment is None:
        raise RowRejected(f"{column}: {text!r} is no date or time of the form that the mapping states")
    return moment


def _parse_moment(text: str, dates: Dates) -> int | None:
    try:
        return parse_time(dates.canonical(text))
    except ValueError:
        return None


def _is_later(first: int | None, second: int | None) -> bool:
    return first is not None and second is not None and first > second


def _is_number(value: object) -> bool:
    return isinstance(value, _NUMBER) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class _Operator:
    holds: Callable[[Any, Any], bool]
    operand: type | tuple[type, ...]
    words: str
    prepared: Callable[[Any], Any] = lambda operand: operand


_NUMBER = (int, float)
_MOMENT = "a time, a date, a {column} or a table of column and plus_days"
_OPERATORS: Mapping[str, _Operator] = {
    "equals": _Operator(str.__eq__, (str, *_NUMBER), "a text or a number", _text),
    "in": _Operator(lambda text, others: text in others, list, "a list", lambda others: frozenset(map(_text, others))),
    "not_in": _Operator(
        lambda text, others: text not in others, list, "a list", lambda others: frozenset(map(_text, others))
    ),
    "filled": _Operator(lambda text, wanted: bool(text) == wanted, bool, "true or false"),
    "contains": _Operator(lambda text, part: part in text, str, "a text"),
    "below": _Operator(float.__lt__, _NUMBER, "a number"),
    "above": _Operator(float.__gt__, _NUMBER, "a number"),
    "before": _Operator(lambda text, bound: _is_later(bound, text), (str, Mapping), _MOMENT),
    "after": _Operator(_is_later, (str, Mapping), _MOMENT),
}


def are_tables(data: object) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(item, Mapping) for item in data)
