"""The mapping of foreign rows to entries, stated in TOML. Pure.

A mapping lists files; each file lists rules; each rule turns a row into an entry, if its `when` holds.
docs/reference/mappings.md shows all parts.

A report date without an hour is the end of that day, as is a missing `report_time` of an event with only a date. A rule
that names the columns of a match, `{@seller}` or `{@verified}`, skips rows without a seller.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, TypeVar, cast

from scoring.base.enums import IdentityLevel
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.base.parts import Part
from scoring.base.time import DAY, is_date, parse_day, parse_time
from scoring.entries.entry import Entry
from scoring.entries.field_types import ID_FORM, FactField, is_id
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.kinds.table import BY_COMMAND, KIND_BY_WORD, KINDS, Fact, KindRow, Need
from scoring.entries.violation_types import TYPE_NUMBERS
from service.ingest.mapping.cells import (
    CellReader,
    NumberedRows,
    Row,
    RowRejected,
    Value,
    cell,
    compile_conditions,
    compile_value,
    number,
    read_column_name,
    read_factor,
    whole,
)
from service.ingest.mapping.dates import PLAIN, Dates, day_text, parse_dates
from service.ingest.mapping.matching import SELLER, VERIFIED, Identifier, compile_identifiers

_SHAPES_WITHOUT_DEFAULT = frozenset(["id", "text", "word", "time", "ids", "day"])


def refuse_missing_fields(part: Part, row: KindRow) -> None:
    names = ["entry_id", *(name for name in ("seller", "occur_time") if getattr(row, name) is Need.REQUIRED)]
    names += [field.name for field in row.fields if field.required and field.shape.kind in _SHAPES_WITHOUT_DEFAULT]
    for name in names:
        if name not in part and (row.kind.word, name) != ("identity", "level"):
            part.refuse(name, "is missing")


def describe_problem(field: FactField, text: str) -> str | None:
    """Return why a field refuses a constant; None if it takes it, or is a day, time or attributes."""
    if field.name == "violation_type":
        return None if text in TYPE_NUMBERS else f"{text!r} is no violation type; see docs/reference/violation-types.md"
    if field.shape.kind in ("day", "time", "attributes"):
        return None
    try:
        value = field.shape.parse(text)
    except ValueError as error:
        return str(error)
    problem = field.shape.describe_error(value)
    return None if problem is None else f"{text!r} {problem}"


MAX_JOINS = 100


@frozen
class Join:
    """Columns `take` of the file `path`, if its column `key` (default: `on`) equals the row's `on`.

    Empty without a match; the last of several counts.
    """

    path: str
    on: str
    key: str
    take: tuple[str, ...]

    def index(self, rows: NumberedRows) -> dict[str, tuple[str, ...]]:
        """Return the taken columns by key; the last row of a key counts."""
        try:
            return {cell(row, self.key).strip(): tuple(cell(row, name) for name in self.take) for _, row in rows}
        except RowRejected as error:
            raise ConfigurationWrong(f"{self.path}, which the mapping joins: {error}") from None

    def joined(self, rows: NumberedRows, index: Mapping[str, tuple[str, ...]]) -> NumberedRows:
        """Yield (line, row) with the taken columns; the row's own columns win."""
        nothing = ("",) * len(self.take)
        for line, row in rows:
            cells = index.get(row.get(self.on, "").strip(), nothing)
            yield line, {**dict(zip(self.take, cells, strict=True)), **row}


def compile_joins(part: Part) -> tuple[Join, ...]:
    """Compile each `[[join]]`: columns of another file to add to rows with an equal key."""
    joins = []
    for join_part in part.list_of_parts("join", MAX_JOINS):
        path, on = join_part.text("path", 1), read_column_name(join_part, "on")
        key = read_column_name(join_part, "key") if "key" in join_part else on
        joins.append(Join(path, on, key, tuple(join_part.names("take", bool, "columns of the other file"))))
    return tuple(joins)


T = TypeVar("T")


def read_or_none(read: Callable[[Row], T], row: Row) -> T | None:
    """Return what `read` gives for a row; None if it raises RowRejected."""
    try:
        return read(row)
    except RowRejected:
        return None


Step = tuple[str, Callable[[str], Any] | None, Callable[[], Any] | None]


def make_field_step(kind: str, field: FactField, is_mapped: bool) -> Step:
    """Return (field name, parser of its text, maker of its value if the text is empty or missing).

    Without a parser the text is taken as it is; without a maker the field is left out. The maker of a required word or
    day raises RowRejected, unless empty text is allowed. `is_mapped`: whether the rule names the field.
    """
    name, shape = field.name, field.shape
    if shape.kind == "attributes":
        return name, None, None
    read = None if shape.kind in ("id", "text") else lru_cache(maxsize=4_096)(shape.parse)
    if not field.required:
        return name, read, None
    if read is None:
        return name, read, str
    if kind == "identity" and name == "level" and not is_mapped:
        return name, read, lambda: IdentityLevel.NONE
    if shape.kind in ("word", "day"):
        return name, read, lambda: read_text(name, "", shape.parse)
    return name, read, lambda: 0 if shape.kind == "count" else None


def read_text(field: str, text: str, reader: Callable[[str], T]) -> T:
    """Return the text as `reader` reads it; its ValueError becomes RowRejected about the field."""
    try:
        return reader(text)
    except ValueError as error:
        raise RowRejected(f"{field}: {error}") from None


MOMENTS = ("occur_time", "report_time")


def standardise_dates(value: Value, field: str, shape: str | None, dates: Dates) -> Value:
    """Return a function of the row for a field's text, in RFC 3339 if it is a date or time.

    If `shape` is a day, a time becomes its UTC day.
    """
    if shape not in ("day", "time") or (shape == "time" and dates.are_plain):
        return value

    @lru_cache(maxsize=4_096)
    def standardise(text: str) -> str:
        text = read_text(field, text, dates.canonical) if text else ""
        return day_text(text) if shape == "day" else text

    return lambda row: standardise(value(row).strip())


COUNTS = frozenset(["count", "sum"])


class Count:
    """`{ count = "COLUMN" }`: distinct non-empty values; `{ sum = "COLUMN" }`: the sum of numbers times `multiply`.

    Only rows where `when` holds count.
    """

    def __init__(self, part: Part, field: str, dates: Dates) -> None:
        how = "sum" if "sum" in part else "count"
        self._column, self._is_sum, self._field = read_column_name(part, how), how == "sum", field
        self._factor = read_factor(part) if self._is_sum else Decimal(1)
        self.when = compile_conditions(part, dates)

    def read(self, row: Row) -> str | Decimal:
        """Return one row's text to count, or number to add (0 if empty). The caller checks `when`.

        Raises RowRejected without the column, and for a text that is no number.
        """
        text = cell(row, self._column).strip()
        if not self._is_sum:
            return text
        return number(text or "0", self._field) * self._factor


class CellTally:
    """Counts distinct texts, unless empty, or adds up numbers."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._sum = Decimal(0)

    def add(self, value: str | Decimal) -> None:
        if not isinstance(value, str):
            self._sum += value
        elif value:
            self._seen.add(value)

    @property
    def text(self) -> str:
        return str(len(self._seen)) if self._seen else whole(self._sum)


MAX_FILES = MAX_RULES = 1_000
_MATCH_COLUMN = re.compile(rf"(^|.*\{{)({SELLER}|{VERIFIED})($|\}}.*)", re.DOTALL)
_FIELDS_BY_KIND = {
    key: {f.name: f for f in KINDS[kind].fields} for key, kind in KIND_BY_WORD.items() if kind not in BY_COMMAND
}
_COUNTABLE_FIELDS = frozenset(
    name for name, field in _FIELDS_BY_KIND["exposure"].items() if field.shape.kind == "count"
) - {"revision"}


class ReportRejected(RowRejected):
    def __init__(self, message: str, entry_id: str) -> None:
        super().__init__(message)
        self.entry_id = entry_id


class _ColumnRecorder(dict[str, str]):
    def __missing__(self, column: str) -> str:
        self[column] = ""
        return ""


@frozen
class MappedFile:
    path: str
    """Below the data folder."""
    rules: tuple["MappingRule", ...]
    identifiers: tuple[Identifier, ...] = ()
    columns: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()

    @property
    def with_match_rules_only(self) -> "MappedFile":
        """Return the file with only the rules that need the row's matched seller."""
        return replace(self, rules=tuple(rule for rule in self.rules if rule.needs_match))

    def list_ids(self, line: int, row: Row) -> tuple[str, ...]:
        """Return the entry ids and then the violation ids of a row's rules that need its seller.

        An unreadable id is "".
        """
        numbered = {**row, "line": str(line)}
        applied = [rule for rule in self.with_match_rules_only.rules if rule.may_apply(numbered)]
        return tuple(
            rule.read_id(name, numbered) for name in ("entry_id", "violation") for rule in applied if rule.states(name)
        )

    def list_report_ids(self, line: int, row: Row) -> list[str]:
        """Return the ids of the violations that a row reports."""
        numbered = {**row, "line": str(line)}
        return [rule.read_id("entry_id", numbered) for rule in self.rules if rule.reports and rule.may_apply(numbered)]

    @property
    def read_columns(self) -> frozenset[str]:
        """Return the file's own columns that rules, joins and match read."""
        recorder = _ColumnRecorder()
        for rule in self.rules:
            rule.read_all(recorder)
        for identifier in self.identifiers if self.with_match_rules_only.rules else ():
            read_or_none(identifier.value, recorder)
        joined_columns = {name for join in self.joins for name in join.take}
        return (frozenset(recorder) | {join.on for join in self.joins}) - joined_columns - {SELLER, VERIFIED}

    def entries(self, rows: NumberedRows) -> Iterator[tuple[int, "Entry | RowRejected"]]:
        """Yield (line, entry or RowRejected) of numbered rows; counted entries come last."""
        for rule in self.rules:
            rule.forget_counts()
        for line, row in rows:
            numbered = {**row, "line": str(line)}
            for rule in self.rules:
                try:
                    entry = rule.read_row(numbered)
                except RowRejected as error:
                    yield line, rule.name_report(numbered, error)
                    continue
                if entry is not None:
                    yield line, entry
        for rule in self.rules:
            yield from rule.make_counted()


@frozen
class ForeignMapping:
    marketplace: str
    files: tuple[MappedFile, ...]


def compile_mapping(data: Mapping[str, Any]) -> ForeignMapping:
    """Compile a mapping's TOML data. Raises ConfigurationWrong with every error."""
    root = Part(data, whole="a mapping")
    marketplace = root.text("marketplace", 1)
    if marketplace and not is_id(marketplace):
        root.refuse("marketplace", f"must be {ID_FORM}")
    dates, identifiers = parse_dates(root, PLAIN), compile_identifiers(root)
    if not root.value("files"):
        root.refuse("files", "must be a list of one or more tables")
    files = tuple(_compile_file(part, dates, identifiers) for part in root.list_of_parts("files", MAX_FILES))
    root.refuse_what_is_left()
    if root.errors:
        raise ConfigurationWrong("; ".join(root.errors))
    return ForeignMapping(marketplace, files)


def _compile_file(part: Part, usual_dates: Dates, usual_identifiers: tuple[Identifier, ...]) -> MappedFile:
    path, dates = part.text("path", 1), parse_dates(part, usual_dates)
    if not part.value("entries"):
        part.refuse("entries", "must be a list of one or more tables")
    rules = []
    for rule_part in part.list_of_parts("entries", MAX_RULES):
        if rule_part.value("kind") in [*_FIELDS_BY_KIND]:
            rules.append(MappingRule(rule_part, dates))
        else:
            rule_part.word("kind", [*_FIELDS_BY_KIND])
            rule_part.skip_others()
    identifiers = compile_identifiers(part) if "match" in part else usual_identifiers
    if not identifiers and any(rule.needs_match for rule in rules):
        part.refuse("", f"has a rule that names {{{SELLER}}} or {{{VERIFIED}}}; state [match] to find it")
    columns = part.names("columns", bool, "the columns of a file without a header") if "columns" in part else []
    if len(set(columns)) < len(columns):
        part.refuse("columns", "must name the columns of a file without a header, each once")
    return MappedFile(path, tuple(rules), identifiers, tuple(columns), compile_joins(part))


def _refers_to_match(data: object) -> bool:
    if isinstance(data, Mapping):
        return any(map(_refers_to_match, data.values()))
    if isinstance(data, list | tuple):
        return any(map(_refers_to_match, data))
    return isinstance(data, str) and _MATCH_COLUMN.fullmatch(data) is not None


class MappingRule:
    """Turns rows into entries, and keeps counts until the last row."""

    def __init__(self, part: Part, dates: Dates) -> None:
        kind, data = part.value("kind"), part.data
        row = KINDS[KIND_BY_WORD[kind]]
        refuse_missing_fields(part, row)
        self.needs_match = _refers_to_match(data)
        if any(_refers_to_match(data.get(name)) for name in ("entry_id", "violation")):
            part.refuse("", "has an id that depends on the match; a later match would add the row again")
        self._when = compile_conditions(part, dates)
        counted = [n for n in sorted(_COUNTABLE_FIELDS) if isinstance(data.get(n), Mapping) and COUNTS & set(data[n])]
        self._counts = {name: Count(part.part(name), name, dates) for name in counted}
        if self._counts and self.needs_match:
            part.refuse("", "finds its seller by the match, so its rows cannot be counted")
        fields = {field.name: field for field in row.fields}
        attributes = part.part("attributes") if {"attributes"} <= data.keys() & fields.keys() else Part({})
        self._attributes = {name: compile_value(attributes, name, CellReader(name)) for name in attributes.data}
        common = (
            "entry_id",
            *(n for n in ("seller", "occur_time") if getattr(row, n) is not Need.REFUSED),
            "report_time",
        )
        shapes = {name: field.shape.kind for name, field in fields.items()} | dict.fromkeys(MOMENTS, "time")
        self._values: dict[str, Value] = {}
        for name in data:
            if (name in fields or name in common) and name not in ("attributes", *counted):
                problem = partial(describe_problem, fields[name]) if name in fields else CellReader("").find_problem
                value = compile_value(part, name, CellReader(name, dates, problem))
                self._values[name] = standardise_dates(value, name, shapes.get(name), dates)
        stated_fields = [f for f in row.fields if f.name in data or f.required or f.shape.kind == "attributes"]
        self._fact_type = row.fact
        self.reports = row.fact in (ViolationReported, ProductViolationReported)
        self._steps = [make_field_step(kind, field, field.name in data) for field in stated_fields]
        self._tallies: dict[tuple[str, ...], dict[str, CellTally]] = {}
        self._first_line: dict[tuple[str, ...], int] = {}

    def states(self, name: str) -> bool:
        """Return whether the field has a value that is no count."""
        return name in self._values

    def may_apply(self, row: Row) -> bool:
        """Return whether no condition is known to fail; an unreadable one may hold."""
        return all(read_or_none(test, row) is not False for test in self._when)

    def read_id(self, name: str, row: Row) -> str:
        """Return a field's text; "" if it cannot be read."""
        return (read_or_none(self._values[name], row) or "").strip()

    def read_row(self, row: Row) -> Entry | None:
        """Return the row's entry; None if a condition fails or the rule only counts rows. Raises RowRejected."""
        if self.needs_match and SELLER not in row:
            return None
        for test in self._when:
            if not test(row):
                return None
        texts = {name: value(row).strip() for name, value in self._values.items()}
        if not self._counts:
            return self._build_entry(texts, {name: value(row).strip() for name, value in self._attributes.items()})
        counted = {n: count.read(row) for n, count in self._counts.items() if all(test(row) for test in count.when)}
        key = tuple(texts.values())
        tallies = self._tallies.setdefault(key, {name: CellTally() for name in self._counts})
        self._first_line.setdefault(key, int(row["line"]))
        for name, text in counted.items():
            tallies[name].add(text)
        return None

    def read_all(self, row: Row) -> None:
        """Read everything that the rule may read, so that a recording row notes its columns."""
        counts = self._counts.values()
        readings = [*self._when, *self._values.values(), *self._attributes.values(), *(count.read for count in counts)]
        for read in (*readings, *(test for count in counts for test in count.when)):
            read_or_none(read, row)

    def name_report(self, row: Row, error: RowRejected) -> RowRejected:
        name = self.read_id("entry_id", row) if self.reports else ""
        return ReportRejected(str(error), name) if name else error

    def make_counted(self) -> Iterator[tuple[int, Entry | RowRejected]]:
        """Yield (first line, entry or RowRejected) of counted entries in order of first rows."""
        for key, tallies in self._tallies.items():
            texts = dict(zip(self._values, key, strict=True))
            texts |= {name: tally.text for name, tally in tallies.items()}
            try:
                yield self._first_line[key], self._build_entry(texts, {})
            except RowRejected as error:
                yield self._first_line[key], error

    def forget_counts(self) -> None:
        self._tallies.clear()
        self._first_line.clear()

    def _build_entry(self, texts: Mapping[str, str], attributes: Mapping[str, str]) -> Entry:
        """Make an entry from the texts of its fields; a date alone is known at its end."""
        occur_text = texts.get("occur_time", "")
        occur = read_text("occur_time", occur_text, parse_time) if occur_text else None
        report: int | None
        if report_text := texts.get("report_time", ""):
            report = read_text("report_time", report_text, parse_time) + (DAY - 1 if is_date(report_text) else 0)
        else:
            day = texts.get("day") or (occur_text if is_date(occur_text) else "")
            report = read_text("day", day, parse_day) * DAY + DAY - 1 if day else occur
        values: dict[str, Any] = {}
        for name, read, make_missing in self._steps:
            if not (text := texts.get(name, "")):
                if make_missing:
                    values[name] = make_missing()
                continue
            try:
                values[name] = read(text) if read else text
            except ValueError as error:
                raise RowRejected(f"{name}: {error}") from None
        if attributes:
            values["attributes"] = {key: value for key, value in attributes.items() if value}
        fact = cast(Fact, self._fact_type(**values))
        return Entry(texts["entry_id"], texts.get("seller", ""), fact, occur, report)
