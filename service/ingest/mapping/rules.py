"""The mapping of foreign rows to entries, stated in TOML. Pure.

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

A value is a text with `{column}` in it, a constant, or a column with a `map`. `{line}` is the row's line,
`{column:day}` the UTC day. A column may be changed: `{ column = "paid", multiply = 100 }` (whole cents), `{ column =
"delivered", plus_days = 14 }`. An exposure's `{ count = "COLUMN" }` counts the distinct values of one seller and UTC
day; `{ sum = "COLUMN" }` adds the numbers. A `when` is optional. The entry comes after the last row. `dates` states
other forms of dates (`dates.py`); `columns` names the columns of a file without a header; a `join` adds columns of
another file (`joins.py`).

A report date without an hour is the end of that day, as is a missing `report_time` of an event with only a date.

A `[match]` (`matching.py`) finds a row's seller; the match is the columns `{@seller}` and `{@verified}`. A rule that
names one skips rows without a seller.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar, cast

from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY, is_date, parse_day, parse_time
from scoring.entries.entry import Entry
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.kinds.table import BY_COMMAND, KINDS, Fact, Need
from service.ingest.mapping.cells import Row, RowRejected, are_tables, tests_of, value_of
from service.ingest.mapping.counting import COUNTS, Count, Tally
from service.ingest.mapping.dates import PLAIN, Dates, parse_dates
from service.ingest.mapping.field_values import MOMENTS, dated_value, field_step, read_or_none, read_text
from service.ingest.mapping.joins import Join, joins_of
from service.ingest.mapping.matching import SELLER, VERIFIED, Identifier, identifiers_of
from service.ingest.mapping.static_checks import find_missing_fields, find_wrong_constants, refuse_unknown

T = TypeVar("T")
_OF_MATCH = re.compile(rf"(^|.*\{{)({SELLER}|{VERIFIED})($|\}}.*)", re.DOTALL)
_KIND_BY_KEY = {row.key: kind for kind, row in KINDS.items() if kind not in BY_COMMAND}
_STATED = {key: {f.name: f for f in KINDS[kind].fields} for key, kind in _KIND_BY_KEY.items()}
_COMMON = frozenset(["kind", "when", "entry_id", "seller", "report_time", "occur_time"])
_COUNTED = frozenset(name for name, field in _STATED["exposure"].items() if field.shape.kind == "count") - {"revision"}


class ReportRejected(RowRejected):
    """With the id of the report that the row cannot become."""

    def __init__(self, message: str, entry_id: str) -> None:
        super().__init__(message)
        self.entry_id = entry_id


class _Asked(dict[str, str]):
    def __missing__(self, column: str) -> str:
        self[column] = ""
        return ""


@dataclass(frozen=True, slots=True)
class MappedFile:
    path: str
    """Below the data folder."""
    rules: tuple["Rule", ...]
    identifiers: tuple[Identifier, ...] = ()
    columns: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()

    @property
    def matched(self) -> "MappedFile":
        return replace(self, rules=tuple(rule for rule in self.rules if rule.needs_match))

    def name_ids(self, line: int, row: Row) -> tuple[str, ...]:
        """Return the entry ids and then the violation ids of a row's rules that need its seller.

        An unreadable id is "".
        """
        numbered = {**row, "line": str(line)}
        entries: list[str] = []
        about: list[str] = []
        for rule in self.rules:
            if rule.needs_match:
                rule.name(numbered, entries, about)
        return (*entries, *about)

    @property
    def asked(self) -> frozenset[str]:
        """Return the columns that rules, joins and match read, without joined ones."""
        asked = _Asked()
        for rule in self.rules:
            rule.ask(asked)
        for identifier in self.identifiers if any(rule.needs_match for rule in self.rules) else ():
            read_or_none(identifier.value, asked)
        brought = {name for join in self.joins for name in join.take}
        return (frozenset(asked) | {join.on for join in self.joins}) - brought - {SELLER, VERIFIED}

    @property
    def counts(self) -> bool:
        return any(rule.counts for rule in self.rules)

    def entries(self, rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, "Entry | RowRejected"]]:
        """Yield (line, entry or RowRejected) of numbered rows; counted entries come last."""
        for rule in self.rules:
            rule.forget()
        for line, row in rows:
            numbered = {**row, "line": str(line)}
            for rule in self.rules:
                try:
                    entry = rule.apply(numbered)
                except RowRejected as error:
                    yield line, rule.rejected(numbered, error)
                    continue
                if entry is not None:
                    yield line, entry
        for rule in self.rules:
            yield from rule.counted()


@dataclass(frozen=True, slots=True)
class ForeignMapping:
    marketplace: str
    files: tuple[MappedFile, ...]
    digest: str


def mapping_of(data: Mapping[str, Any]) -> ForeignMapping:
    """Compile a mapping's TOML data. Raises ConfigurationWrong for each wrong part."""
    marketplace = data.get("marketplace")
    if not isinstance(marketplace, str) or not are_tables(data.get("files")):
        raise ConfigurationWrong("a mapping must give marketplace and at least one [[files]]")
    if not is_id(marketplace):
        raise ConfigurationWrong(f"marketplace of the mapping must be {ID_FORM}")
    refuse_unknown(data, frozenset(["marketplace", "match", "dates", "files"]), "the mapping")
    dates = parse_dates(data["dates"], "the mapping") if "dates" in data else PLAIN
    files = []
    for number, file in enumerate(data["files"]):
        where = f"files[{number}]"
        if not isinstance(file.get("path"), str) or not are_tables(file.get("entries")):
            raise ConfigurationWrong(f"{where} of the mapping must give path and at least one [[files.entries]]")
        refuse_unknown(file, frozenset(["path", "match", "dates", "columns", "join", "entries"]), where)
        own = parse_dates(file["dates"], where) if "dates" in file else dates
        rules = _rules(file["entries"], where, own)
        identifiers = identifiers_of(file, where) if "match" in file else identifiers_of(data, "the mapping")
        if not identifiers and any(rule.needs_match for rule in rules):
            raise ConfigurationWrong(f"{where}: a rule names {{{SELLER}}} or {{{VERIFIED}}}; state [match] to find it")
        files.append(MappedFile(file["path"], rules, identifiers, _columns(file, where), joins_of(file, where)))
    content = json.dumps(data, sort_keys=True, default=str)
    return ForeignMapping(marketplace, tuple(files), sha256(content.encode()).hexdigest())


def _rules(stated: Sequence[Mapping[str, Any]], where: str, dates: Dates) -> tuple["Rule", ...]:
    rules, wrong = [], []
    for number, rule in enumerate(stated):
        try:
            rules.append(Rule(rule, f"{where}.entries[{number}]", dates))
        except ConfigurationWrong as error:
            wrong.append(error.message)
    if wrong:
        raise ConfigurationWrong("; ".join(wrong))
    return tuple(rules)


def _columns(file: Mapping[str, Any], where: str) -> tuple[str, ...]:
    names = file.get("columns", [])
    if (
        not isinstance(names, list | tuple)
        or not all(isinstance(n, str) and n for n in names)
        or len(set(names)) < len(names)
    ):
        raise ConfigurationWrong(f"{where}.columns must name the columns of a file without a header, each once")
    return tuple(names)


def _of_match(data: object) -> bool:
    if isinstance(data, Mapping):
        return any(map(_of_match, data.values()))
    if isinstance(data, list | tuple):
        return any(map(_of_match, data))
    return isinstance(data, str) and _OF_MATCH.fullmatch(data) is not None


class Rule:
    def __init__(self, data: Mapping[str, Any], where: str, dates: Dates = PLAIN) -> None:
        kind = str(data.get("kind"))
        if kind not in _STATED:
            raise ConfigurationWrong(f"{where}.kind must be one of {', '.join(_STATED)}")
        row = KINDS[_KIND_BY_KEY[kind]]
        refused = {name for name in ("seller", "occur_time") if getattr(row, name) is Need.REFUSED}
        refuse_unknown(data, (_COMMON | _STATED[kind].keys()) - refused, where, kind)
        needed = [name for name in ("seller", "occur_time") if getattr(row, name) is Need.REQUIRED]
        days = [field.name for field in row.fields if field.shape.kind == "day"]
        missing = [name for name in ("entry_id", *needed, *days) if name not in data]
        missing += find_missing_fields(kind, data, row.fields)
        wrong = [f"{where}: {', '.join(missing)} is missing"] if missing else []
        if wrong := wrong + find_wrong_constants(data, row.fields, where):
            raise ConfigurationWrong("; ".join(wrong))
        attributes = data.get("attributes", {})
        if not isinstance(attributes, Mapping):
            raise ConfigurationWrong(f"{where}.attributes must be a table of values by name")
        self.needs_match = _of_match(data)
        if any(_of_match(data.get(name)) for name in ("entry_id", "violation")):
            raise ConfigurationWrong(
                f"{where}: an id must not depend on the match, or a later match adds the row again"
            )
        self._when = tests_of(data.get("when", []), where, dates)
        counts = {n: data[n] for n in sorted(_COUNTED) if isinstance(data.get(n), Mapping) and COUNTS & set(data[n])}
        self._counts = {name: Count(count, f"{where}.{name}", dates) for name, count in counts.items()}
        if self._counts and self.needs_match:
            raise ConfigurationWrong(f"{where}: rows that find their seller by the match cannot be counted")
        self._attributes = {name: value_of(text, f"{where}.attributes.{name}") for name, text in attributes.items()}
        names = [n for n in data if n not in ("kind", "when", "attributes") and n not in self._counts]
        shapes = {field.name: field.shape.kind for field in row.fields} | dict.fromkeys(MOMENTS, "time")
        self._values = {
            n: dated_value(value_of(data[n], f"{where}.{n}", dates), n, shapes.get(n), dates) for n in names
        }
        stated = [f for f in row.fields if f.name in data or f.required or f.shape.kind == "attributes"]
        self._fact_type = row.fact
        self._steps = [
            field_step(kind, field, field.name in self._values or field.name in self._counts) for field in stated
        ]
        self._seen: dict[tuple[str, ...], dict[str, Tally]] = {}
        self._first_line: dict[tuple[str, ...], int] = {}

    @property
    def counts(self) -> bool:
        return bool(self._counts)

    def apply(self, row: Row) -> Entry | None:
        if self.needs_match and SELLER not in row:
            return None
        for test in self._when:
            if not test(row):
                return None
        texts = {name: value(row).strip() for name, value in self._values.items()}
        if not self._counts:
            return self._entry(texts, {name: value(row).strip() for name, value in self._attributes.items()})
        counted = {n: count.read(row) for n, count in self._counts.items() if all(test(row) for test in count.when)}
        key = tuple(texts.values())
        seen = self._seen.setdefault(key, {name: Tally() for name in self._counts})
        self._first_line.setdefault(key, int(row["line"]))
        for name, text in counted.items():
            seen[name].add(text)
        return None

    def ask(self, row: "_Asked") -> None:
        for read in (*self._when, *self._values.values(), *self._attributes.values()):
            read_or_none(read, row)
        for count in self._counts.values():
            for reading in (count.read, *count.when):
                read_or_none(reading, row)

    def rejected(self, row: Row, error: RowRejected) -> RowRejected:
        """Return the error of a row without an entry; for a violation with the report's id."""
        is_report = self._fact_type in (ViolationReported, ProductViolationReported)
        name = (read_or_none(self._values["entry_id"], row) or "").strip() if is_report else ""
        return ReportRejected(str(error), name) if name else error

    def name(self, row: Row, entries: list[str], about: list[str]) -> None:
        """Append the id of the row's entry to `entries`, and of its violation to `about`.

        An unreadable id is "".
        """
        if any(read_or_none(test, row) is False for test in self._when):
            return
        entries.append((read_or_none(self._values["entry_id"], row) or "").strip())
        if "violation" in self._values:
            about.append((read_or_none(self._values["violation"], row) or "").strip())

    def counted(self) -> Iterator[tuple[int, Entry | RowRejected]]:
        """Yield (first line, entry or RowRejected) of counted entries in order of first rows."""
        for key, seen in self._seen.items():
            texts = dict(zip(self._values, key, strict=True))
            texts |= {name: tally.text for name, tally in seen.items()}
            try:
                yield self._first_line[key], self._entry(texts, {})
            except RowRejected as error:
                yield self._first_line[key], error

    def forget(self) -> None:
        self._seen.clear()
        self._first_line.clear()

    def _entry(self, texts: Mapping[str, str], attributes: Mapping[str, str]) -> Entry:
        occur_text = texts.get("occur_time", "")
        occur = read_text("occur_time", occur_text, parse_time) if occur_text else None
        report: int | None
        if report_text := texts.get("report_time", ""):
            report = read_text("report_time", report_text, parse_time) + (DAY - 1 if is_date(report_text) else 0)
        else:
            day = texts.get("day") or (occur_text if is_date(occur_text) else "")
            report = read_text("day", day, parse_day) * DAY + DAY - 1 if day else occur
        values: dict[str, Any] = {}
        for name, read, left_out in self._steps:
            if text := texts.get(name, ""):
                values[name] = read_text(name, text, read) if read else text
            elif left_out:
                values[name] = left_out()
        if attributes:
            values["attributes"] = {key: value for key, value in attributes.items() if value}
        fact = cast(Fact, self._fact_type(**values))
        return Entry(texts["entry_id"], texts.get("seller", ""), fact, occur, report)
