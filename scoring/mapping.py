"""The mapping of somebody's own rows to entries, stated in TOML. Pure: rows of texts in, entries out.

A mapping lists files; each file lists rules; each rule turns a row into an entry, if its `when` holds:

    marketplace = "toronto"
    [[files]]
    path = "events.csv.gz"
    [[files.entries]]
    kind = "violation"
    when = [{ column = "is_violation", equals = "1" }]
    entry_id = "v-{inspection_id}-{event_type}-{line}"
    seller = "{entity_id}"
    occur_time = "{event_date}"
    violation_type = "safety_infraction"
    harm = { column = "severity", map = { "3" = "high" }, default = "low" }

A value is a text with `{column}` in it (`{line}` is the row's line in the file), a constant, or a column with a `map`.
Where an exposure's number is `{ count = "COLUMN" }`, with an optional `when`, it counts the distinct values of that
column among the rows of one seller and day, and the entry comes once, after the last row. A report date without an
hour, and `report_time` where it is left out and the event has but a date, is the end of that day.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar, cast

from scoring.entries import Entry
from scoring.errors import ConfigurationWrong
from scoring.kinds import KINDS, Fact, Need
from scoring.shapes import ID_FORM, Stated, is_id
from scoring.time import DAY, is_date, parse_day, parse_time
from scoring.words import IdentityLevel, Kind

T = TypeVar("T")
Row = Mapping[str, str]
Value = Callable[[Row], str]
Test = Callable[[Row], bool]

_HOLE = re.compile(r"\{([^{}]+)\}")
_KIND_BY_KEY = {row.key: kind for kind, row in KINDS.items() if kind is not Kind.ERASURE}
_STATED = {key: {f.name: f for f in KINDS[kind].fields} for key, kind in _KIND_BY_KEY.items()}
_COMMON = frozenset(["kind", "when", "entry_id", "seller", "report_time", "occur_time"])
_COUNTED = frozenset(name for name, field in _STATED["exposure"].items() if field.shape.kind == "count") - {"revision"}


class RowRejected(ValueError):
    """A row that cannot become an entry; says the field and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class MappedFile:
    """One file of a mapping: its path below the data folder, and its rules."""

    path: str
    rules: tuple["Rule", ...]

    @property
    def counts(self) -> bool:
        """Whether a rule counts rows, so that every row of the file is needed."""
        return any(rule.counts for rule in self.rules)

    def entries(self, rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, "Entry | RowRejected"]]:
        """(line, entry or why there is none) of numbered rows, in their order; counted exposure after the last row."""
        for rule in self.rules:
            rule.forget()
        for line, row in rows:
            numbered = {**row, "line": str(line)}
            for rule in self.rules:
                try:
                    entry = rule.apply(numbered)
                except RowRejected as error:
                    yield line, error
                    continue
                if entry is not None:
                    yield line, entry
        for rule in self.rules:
            yield from rule.counted()


@dataclass(frozen=True, slots=True)
class ForeignMapping:
    """A compiled mapping. `digest` is the SHA-256 of what it was compiled from."""

    marketplace: str
    files: tuple[MappedFile, ...]
    digest: str


def mapping_of(data: Mapping[str, Any]) -> ForeignMapping:
    """Compiles a mapping (a TOML file as a mapping). ConfigurationWrong names the rule and what is wrong with it."""
    marketplace = data.get("marketplace")
    if not isinstance(marketplace, str) or not _are_tables(data.get("files")):
        raise ConfigurationWrong("a mapping must give marketplace and at least one [[files]]")
    if not is_id(marketplace):
        raise ConfigurationWrong(f"marketplace of the mapping must be {ID_FORM}")
    _refuse_unknown(data, frozenset(["marketplace", "files"]), "the mapping")
    files = []
    for number, file in enumerate(data["files"]):
        where = f"files[{number}]"
        if not isinstance(file.get("path"), str) or not _are_tables(file.get("entries")):
            raise ConfigurationWrong(f"{where} of the mapping must give path and at least one [[files.entries]]")
        _refuse_unknown(file, frozenset(["path", "entries"]), where)
        rules = tuple(Rule(rule, f"{where}.entries[{i}]") for i, rule in enumerate(file["entries"]))
        files.append(MappedFile(file["path"], rules))
    content = json.dumps(data, sort_keys=True, default=str)
    return ForeignMapping(marketplace, tuple(files), sha256(content.encode()).hexdigest())


def _are_tables(data: object) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(item, Mapping) for item in data)


def _refuse_unknown(data: Mapping[str, Any], known: frozenset[str], where: str, kind: str = "") -> None:
    if unknown := sorted(set(data) - known):
        place = f"field of kind {kind}" if kind else "part of a mapping"
        raise ConfigurationWrong(f"{where}: {', '.join(unknown)} is no {place}; there are {', '.join(sorted(known))}")


class Rule:
    """One rule of a mapping: a row to at most one entry."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        kind = str(data.get("kind"))
        if kind not in _STATED:
            raise ConfigurationWrong(f"{where}.kind must be one of {', '.join(_STATED)}")
        row = KINDS[_KIND_BY_KEY[kind]]
        refused = {name for name in ("seller", "occur_time") if getattr(row, name) is Need.REFUSED}
        _refuse_unknown(data, (_COMMON | _STATED[kind].keys()) - refused, where, kind)
        needed = [name for name in ("seller", "occur_time") if getattr(row, name) is Need.REQUIRED]
        days = [field.name for field in row.fields if field.shape.kind == "day"]
        missing = [name for name in ("entry_id", *needed, *days) if name not in data]
        if missing:
            raise ConfigurationWrong(f"{where}: {', '.join(missing)} is missing")
        attributes = data.get("attributes", {})
        if not isinstance(attributes, Mapping):
            raise ConfigurationWrong(f"{where}.attributes must be a table of values by name")
        self._kind = kind
        self._when = _tests(data.get("when", []), where)
        counts = {n: data[n] for n in sorted(_COUNTED) if isinstance(data.get(n), Mapping) and "count" in data[n]}
        self._counts = {name: _count(count, f"{where}.{name}") for name, count in counts.items()}
        self._attributes = {name: _value(text, f"{where}.attributes.{name}") for name, text in attributes.items()}
        names = [n for n in data if n not in ("kind", "when", "attributes") and n not in self._counts]
        self._values = {name: _value(data[name], f"{where}.{name}") for name in names}
        self._seen: dict[tuple[str, ...], dict[str, set[str]]] = {}
        self._first_line: dict[tuple[str, ...], int] = {}

    @property
    def counts(self) -> bool:
        """Whether it counts rows, and gives its entries after the last one."""
        return bool(self._counts)

    def apply(self, row: Row) -> Entry | None:
        """The row's entry; None if the rule does not apply, or counts rows. RowRejected if a value cannot be read."""
        if not all(test(row) for test in self._when):
            return None
        texts = {name: value(row).strip() for name, value in self._values.items()}
        if not self._counts:
            return self._entry(texts, {name: value(row).strip() for name, value in self._attributes.items()})
        counted = {
            name: _cell(row, column)
            for name, (column, tests) in self._counts.items()
            if all(test(row) for test in tests)
        }
        key = tuple(texts.values())
        seen = self._seen.setdefault(key, {name: set() for name in self._counts})
        self._first_line.setdefault(key, int(row["line"]))
        for name, text in counted.items():
            seen[name].add(text)
        return None

    def counted(self) -> Iterator[tuple[int, Entry | RowRejected]]:
        """The entries of counted exposure, in the order of their first rows."""
        for key, seen in self._seen.items():
            texts = dict(zip(self._values, key, strict=True))
            texts |= {name: str(len(values)) for name, values in seen.items()}
            try:
                yield self._first_line[key], self._entry(texts, {})
            except RowRejected as error:
                yield self._first_line[key], error
        self.forget()

    def forget(self) -> None:
        """Begins counting anew."""
        self._seen.clear()
        self._first_line.clear()

    def _entry(self, texts: Mapping[str, str], attributes: Mapping[str, str]) -> Entry:
        occur_text = texts.get("occur_time", "")
        occur = _read("occur_time", occur_text, parse_time) if occur_text else None
        # A date says nothing of the hour: what happened, or was reported, on a day is known at the end of it.
        report: int | None
        if report_text := texts.get("report_time", ""):
            report = _read("report_time", report_text, parse_time) + (DAY - 1 if is_date(report_text) else 0)
        else:
            day = texts.get("day") or (occur_text if is_date(occur_text) else "")
            report = _read("day", day, parse_day) * DAY + DAY - 1 if day else occur
        fact = _fact(self._kind, texts, attributes)
        return Entry(texts["entry_id"], texts.get("seller", ""), fact, occur, report)


def _fact(kind: str, texts: Mapping[str, str], attributes: Mapping[str, str]) -> Fact:
    """The fact of a kind from texts by field; what is empty is left out, a required count then 0."""
    values: dict[str, Any] = {}
    for name, field in _STATED[kind].items():
        text = texts.get(name, "")
        if field.shape.kind == "attributes":
            values[name] = {key: value for key, value in attributes.items() if value}
        elif text or (name in texts and field.shape.kind == "word" and field.required):
            values[name] = _read(name, text, field.shape.parse)
        elif field.required:
            values[name] = _left_out(kind, field)
    return cast(Fact, KINDS[_KIND_BY_KEY[kind]].fact(**values))


def _left_out(kind: str, field: Stated) -> Any:
    if kind == "identity" and field.name == "level":
        return IdentityLevel.NONE
    if field.shape.kind in ("word", "day"):
        return _read(field.name, "", field.shape.parse)
    return 0 if field.shape.kind == "count" else None if field.shape.kind == "time" else ""


def _read(field: str, text: str, reader: Callable[[str], T]) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise RowRejected(f"{field}: {error}") from None


def _cell(row: Row, column: str) -> str:
    try:
        return row[column] or ""
    except KeyError:
        raise RowRejected(f"there is no column {column!r}; the file has {', '.join(list(row)[:20])}") from None


def _value(data: Any, where: str) -> Value:
    """A text with holes, a constant, or a table of column, map and default, as a function of the row."""
    if isinstance(data, bool | int | float):
        constant = _text(data)
        return lambda _: constant
    if isinstance(data, str):
        holes = _HOLE.findall(data)
        if not holes:
            return lambda _: data
        if data == "{" + holes[0] + "}":
            return lambda row: _cell(row, holes[0])
        return lambda row: _HOLE.sub(lambda hole: _cell(row, hole.group(1)), data)
    if (
        isinstance(data, Mapping)
        and isinstance(data.get("column"), str)
        and isinstance(data.get("map", {}), Mapping)
        and set(data) <= {"column", "map", "default"}
    ):
        column, mapped, default = data["column"], data.get("map"), data.get("default")

        def look_up(row: Row) -> str:
            text = _cell(row, column).strip()
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


def _count(data: Mapping[str, Any], where: str) -> tuple[str, tuple[Test, ...]]:
    if not isinstance(data["count"], str) or not set(data) <= {"count", "when"}:
        raise ConfigurationWrong(f"{where} must give count, the name of a column, and at most when beside it")
    return data["count"], _tests(data.get("when", []), where)


def _tests(data: Sequence[Mapping[str, Any]] | Mapping[str, Any], where: str) -> tuple[Test, ...]:
    conditions = [data] if isinstance(data, Mapping) else data
    if conditions and not _are_tables(conditions):
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
        other = _value(operand, where)
        return lambda row: operator.holds(_cell(row, column).strip(), other(row).strip())
    return lambda row: operator.holds(_cell(row, column).strip(), operand)


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
    """How a condition is tested, and what its operand must be, by type and in words."""

    holds: Callable[[str, Any], bool]
    operand: type | tuple[type, ...]
    words: str


_NUMBER = (int, float)
_OPERATORS: Mapping[str, _Operator] = {
    "equals": _Operator(lambda text, other: text == _text(other), (str, *_NUMBER), "a text or a number"),
    "in": _Operator(lambda text, others: text in [_text(other) for other in others], list, "a list"),
    "filled": _Operator(lambda text, wanted: bool(text) == wanted, bool, "true or false"),
    "below": _Operator(lambda text, bound: _as_number(text) < bound, _NUMBER, "a number"),
    "above": _Operator(lambda text, bound: _as_number(text) > bound, _NUMBER, "a number"),
    "before": _Operator(lambda text, bound: _later(bound, text), str, "a time, a date or a {column}"),
    "after": _Operator(_later, str, "a time, a date or a {column}"),
}
