import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import partial
from typing import Any, NamedTuple

from scoring.base.frozen import frozen
from scoring.base.parts import Part
from scoring.base.time import parse_time
from service.ingest.mapping.dates import PLAIN, Dates, add_days, day_text

Row = Mapping[str, str]
NumberedRows = Iterable[tuple[int, Row]]
Value = Callable[[Row], str]
Test = Callable[[Row], bool]

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class RowRejected(ValueError):
    """Names the field and the problem."""


def cell(row: Row, column: str) -> str:
    """Return the text in a column, "" if empty. Raises RowRejected without the column."""
    try:
        return row[column] or ""
    except KeyError:
        raise RowRejected(f"there is no column {column!r}; the file has {', '.join(list(row)[:20])}") from None


def read_column_name(part: Part, name: str = "column") -> str:
    """Return the column under `name`; "" after an error, which `part` notes."""
    column = part.value(name)
    if isinstance(column, str) and column:
        return column
    part.refuse(name, "must name a column")
    return ""


def _compile_placeholder(name: str, dates: Dates) -> Value:
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


class CellReader(NamedTuple):
    field: str
    dates: Dates = PLAIN
    find_problem: Callable[[str], str | None] = lambda _constant: None
    """Returns why the field refuses a constant; None if it takes it."""

    def read_constant(self, part: Part, name: str, value: object) -> str:
        """Return a constant as text (True: "true"); `part` notes why the field refuses it."""
        text = _format_constant(value)
        if text.strip() and (problem := self.find_problem(text.strip())):
            part.refuse(name, f"cannot be used: {problem}")
        return text


def compile_value(part: Part, name: str, reading: CellReader) -> Value:
    """Compile a mapping's value into a function from row to text, which raises RowRejected.

    It is a constant, a text with `{COLUMN}`, such as `"{order}-{line}"`, or a table.
    """
    value = part.value(name)
    if isinstance(value, Mapping):
        table = part.part(name)
        return _compile_first_filled(table) if "first" in table else _compile_column(table, reading)
    if not isinstance(value, str | bool | int | float):
        part.refuse(
            name, f"must be a text, a number, or a table: of column and one of {', '.join(_CHANGES)}, or of first"
        )
        return lambda _: ""
    if not isinstance(value, str) or not re.search("[{}]", value):
        constant = reading.read_constant(part, name, value)
        return lambda _: constant
    placeholders = _PLACEHOLDER.findall(value)
    if not placeholders:
        part.refuse(name, f"must name a column as {{COLUMN}}, not {value!r}")
        return lambda _: ""
    read = {placeholder: _compile_placeholder(placeholder, reading.dates) for placeholder in placeholders}
    if value == "{" + placeholders[0] + "}":
        return read[placeholders[0]]
    reads = [read[placeholder] for placeholder in placeholders]
    template = "%s".join(text.replace("%", "%%") for text in _PLACEHOLDER.split(value)[::2])
    return lambda row: template % tuple([read(row).strip() for read in reads])


def _compile_first_filled(part: Part) -> Value:
    columns, default = part.names("first", bool, "columns"), _format_constant(part.value("default") or "")

    def read(row: Row) -> str:
        texts = [cell(row, name).strip() for name in columns]
        return next(filter(None, texts), default)

    return read


Change = Callable[[str], str | None]


def _compile_column(part: Part, reading: CellReader) -> Value:
    """Look up a column's text in `map` (else `default`); `plus_days` moves a date, `multiply` multiplies a number and
    rounds it.
    """
    column, default_constant = read_column_name(part), part.value("default")
    default = None if default_constant is None else reading.read_constant(part, "default", default_constant)
    changes = [name for name in _CHANGES if part.value(name) is not None]
    if len(changes) > 1:
        part.refuse("", f"must be a table of column and one of {', '.join(_CHANGES)}")
    change, is_map = _CHANGES[changes[0]](part, reading) if changes else None, changes == ["map"]

    def read(row: Row) -> str:
        text = cell(row, column).strip()
        if not text and not is_map:  # a map may state what an empty cell stands for
            return default or ""
        changed = change(text) if change else text
        if changed is None and default is None:
            raise RowRejected(f"{reading.field}: {text!r} in column {column} is not in the map")
        return (default or "") if changed is None else changed

    return read


def _compile_map(part: Part, reading: CellReader) -> Change:
    texts = part.value("map")
    if not isinstance(texts, Mapping):
        part.refuse("map", "must be a table of texts and what they stand for")
        return str
    return {key: reading.read_constant(part, f"map.{key}", value) for key, value in texts.items()}.get


def _compile_day_shift(part: Part, reading: CellReader) -> Change:
    days = part.number("plus_days", -MAX_DAYS, MAX_DAYS)

    def change(text: str) -> str:
        try:
            return add_days(reading.dates.canonical(text), days)
        except (ValueError, OverflowError) as error:
            raise RowRejected(f"{reading.field}: {error}") from None

    return change


def _compile_multiplication(part: Part, reading: CellReader) -> Change:
    factor = read_factor(part)
    return lambda text: whole(number(text, reading.field) * factor)


def read_factor(part: Part) -> Decimal:
    """Read the number under `multiply`, by default and after an error 1."""
    factor = part.value("multiply")
    if factor is not None and not _is_number(factor):
        part.refuse("multiply", "must be a number")
    return Decimal(str(factor)) if _is_number(factor) else Decimal(1)


_CHANGES: Mapping[str, Callable[[Part, CellReader], Change]] = {
    "map": _compile_map,
    "plus_days": _compile_day_shift,
    "multiply": _compile_multiplication,
}
MAX_DAYS = 100_000


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
MAX_CONDITIONS = 100


def whole(value: Decimal) -> str:
    """Return the rounded number's text, halves to even: `whole(Decimal("2.5")) == "2"`."""
    return str(int(value.to_integral_value(ROUND_HALF_EVEN)))


def _format_constant(constant: object) -> str:
    return str(constant).lower() if isinstance(constant, bool) else str(constant)


def compile_conditions(part: Part, dates: Dates) -> tuple[Test, ...]:
    """Compile a part's `when` into tests of a row, which must all hold; empty without one.

    A test raises RowRejected for an unreadable cell.
    """
    if "when" not in part:
        return ()
    is_one = isinstance(part.value("when"), Mapping)
    conditions = [part.part("when")] if is_one else part.list_of_parts("when", MAX_CONDITIONS)
    return tuple(_compile_condition(condition, dates) for condition in conditions)


def _compile_condition(part: Part, dates: Dates) -> Test:
    """Return a test of a row; after an error, one that never holds.

    Conditions: equals, in, not_in, contains, filled, below, above (numbers), before, after (a time or date as text,
    `{column}`, or `{ column = "...", plus_days = 3 }`).
    """
    column = read_column_name(part)
    operator_names = [name for name in _OPERATORS if part.value(name) is not None]
    if len(operator_names) != 1:
        part.refuse("", f"must give column and one of {', '.join(_OPERATORS)}")
        return lambda _: False
    (name,) = operator_names
    operator, operand = _OPERATORS[name], part.value(name)
    is_moment = name in ("before", "after")
    is_operand = isinstance(operand, operator.operand) and not (
        operator.operand == _NUMBER and isinstance(operand, bool)
    )
    is_text = isinstance(operand, str) and not _PLACEHOLDER.search(operand)
    if not is_operand or (is_moment and is_text and _parse_moment(operand, dates) is None):
        part.refuse(name, f"must be {operator.words}, not {operand!r}")
        return lambda _: False
    read = partial(cell, column=column)
    if is_moment:
        read_bound = compile_value(part, name, CellReader(name, dates))
        # An empty cell has no order. A text that is no time is rejected, so that the row is reported.
        return lambda row: operator.holds(
            _read_moment(read(row), column, dates), _read_moment(read_bound(row), column, dates)
        )
    if operator.operand == _NUMBER:
        return lambda row: operator.holds(_read_number(read(row).strip(), column), operand)
    wanted, holds = operator.prepare(operand), operator.holds
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


@frozen
class _Operator:
    holds: Callable[[Any, Any], bool]
    operand: type | tuple[type, ...]
    words: str
    prepare: Callable[[Any], Any] = lambda operand: operand


_NUMBER = (int, float)
_MOMENT = "a time, a date, a {column} or a table of column and plus_days"
_OPERATORS: Mapping[str, _Operator] = {
    "equals": _Operator(str.__eq__, (str, *_NUMBER), "a text or a number", _format_constant),
    "in": _Operator(
        lambda text, others: text in others, list, "a list", lambda others: frozenset(map(_format_constant, others))
    ),
    "not_in": _Operator(
        lambda text, others: text not in others, list, "a list", lambda others: frozenset(map(_format_constant, others))
    ),
    "filled": _Operator(lambda text, wanted: bool(text) == wanted, bool, "true or false"),
    "contains": _Operator(lambda text, part: part in text, str, "a text"),
    "below": _Operator(float.__lt__, _NUMBER, "a number"),
    "above": _Operator(float.__gt__, _NUMBER, "a number"),
    "before": _Operator(lambda text, bound: _is_later(bound, text), (str, Mapping), _MOMENT),
    "after": _Operator(_is_later, (str, Mapping), _MOMENT),
}
