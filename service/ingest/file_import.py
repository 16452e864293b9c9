"""Import of files into the ledger: good rows once, bad rows into a reject file with line and reason.

A repeated import adds nothing twice, so an interrupted import is repeated.
"""

import csv
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from scoring.base.enums import Kind
from scoring.base.errors import ConfigurationWrong, InvalidInput, OccurTimeAhead, invalid
from scoring.base.progress import Progress
from scoring.base.time import DAY, format_time
from scoring.entries.entry import MAX_BATCH, Entry, prepare
from scoring.entries.kinds.settlement import FlowStated
from scoring.entries.kinds.table import KIND_OF
from scoring.entries.kinds.trade import ExposureStated
from service.contract.entries import ListedEntry
from service.files import replacing_privately
from service.ingest.mapping.cells import NumberedRows, RowRejected
from service.ingest.mapping.rules import ForeignMapping, MappedFile, ReportRejected
from service.ingest.partial_append import AppendCounts, PartialAppend, format_field_error
from service.ingest.row_matching import UnmatchedRow, add_matches
from service.ingest.sources.payload import entry_from_json
from service.ingest.sources.tables import Reject, advise_commas, columns_of, csv_rows, lines_of, parquet_rows
from service.ledger.store import Ledger

EARLY = 631_152_000_000_000
"""1990-01-01T00:00:00Z. Seconds read as milliseconds lie in January 1970."""

MAX_EARLY = 0.01


@dataclass(slots=True)
class _KindSpan:
    number: int = 0
    first: int | None = None
    """In microseconds; None before the first entry."""
    last: int | None = None


@dataclass(slots=True)
class Spans:
    by_kind: dict[Kind, _KindSpan] = field(default_factory=dict)
    timed: int = 0
    early: int = 0
    seen: set[int] | None = None
    """Hashes of the ids so far, to count repeated entries once; None: count all."""

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if self.seen is not None:
                if (id_hash := hash(entry.entry_id)) in self.seen:
                    continue
                self.seen.add(id_hash)
            span = self.by_kind.setdefault(KIND_OF[type(entry.fact)], _KindSpan())
            span.number += 1
            fact = entry.fact
            happened = fact.day * DAY if isinstance(fact, ExposureStated | FlowStated) else entry.occur_time
            if happened is None:
                continue
            self.timed += 1
            self.early += happened < EARLY
            if span.first is None or happened < span.first:
                span.first = happened
            if span.last is None or happened > span.last:
                span.last = happened

    def rows(self) -> list[dict[str, object]]:
        """Return per kind its key, number, and first and last time (RFC 3339 or None)."""
        return [
            {
                "kind": kind.word,
                "entries": span.number,
                "first_occur_time": None if span.first is None else format_time(span.first),
                "last_occur_time": None if span.last is None else format_time(span.last),
            }
            for kind, span in sorted(self.by_kind.items())
        ]

    @property
    def doubt(self) -> str:
        """Return a warning if over 1 % of the times lie before 1990; else ""."""
        if self.early <= MAX_EARLY * self.timed:
            return ""
        return (
            f"{self.early:,} of {self.timed:,} entries happened before 1990: look at the unit of epoch times, seconds or"
            " milliseconds, and at the form of dates"
        )


NumberedEntries = Generator[tuple[int, Entry | RowRejected], None, None]
ENTRY_FILES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")


@dataclass(slots=True)
class ImportReport(AppendCounts):
    rejects: list[tuple[str, int, str]] = field(default_factory=list)
    """(file, line, reason)."""
    unmatched: list[UnmatchedRow] = field(default_factory=list)
    left_out: int = 0
    """Listed entries that a ledger derives."""
    spans: Spans = field(default_factory=Spans)


def import_files(
    ledger: Ledger,
    mapping: ForeignMapping,
    data: Path,
    progress: Progress,
    dry_now: int | None = None,
) -> ImportReport:
    """Import every file of a mapping found below `data`; the report lists rejected and unmatched rows.

    Raises as `require_files`; nothing is imported then. `dry_now` appends nothing and checks each entry as of this time.
    """
    require_files(mapping, data)
    run = _ImportRun(ledger, mapping.marketplace, progress, dry_now)
    for file in mapping.files:
        path = data / file.path
        with run.open_file(path, file.path) as raw:
            rows = _join_rows(file, data, run.read_rows(path, raw, file.columns))
            run.append_all(file.path, run.map_rows(file, rows))
    return run.report


def import_entries(
    ledger: Ledger, marketplace: str, path: Path, progress: Progress, dry_now: int | None = None
) -> ImportReport:
    """Import the contract's entries, one JSON object per line, plain or gzip; `dry_now` as in `import_files`."""
    run = _ImportRun(ledger, marketplace, progress, dry_now)
    with run.open_file(path, path.name) as raw:
        run.append_all(path.name, run.read_entries(path.name, raw))
    return run.report


def import_rows(ledger: Ledger, marketplace: str, files: Iterable[tuple[MappedFile, NumberedRows]]) -> ImportReport:
    run = _ImportRun(ledger, marketplace, lambda *_: None)
    for file, rows in files:
        with run.collect_rejects(file.path):
            run.append_all(file.path, run.map_rows(file, rows))
    return run.report


def write_rejects(report: ImportReport, path: Path) -> None:
    """Write rejects as private CSV (file, line, reason); replace an existing file."""
    with replacing_privately(path) as out:
        writer = csv.writer(out)
        writer.writerow(("file", "line", "reason"))
        writer.writerows(report.rejects)


class _ImportRun:
    def __init__(self, ledger: Ledger, marketplace: str, progress: Progress, dry_now: int | None = None) -> None:
        self._ledger = ledger
        self._marketplace = marketplace
        self._progress = progress
        self._dry_now = dry_now
        self._begun = None if dry_now is not None else ledger.cut().sequence
        self._rejects: list[tuple[int, str]] = []
        self._measure: Callable[[], tuple[int, int]] = _measure_nothing
        self.report = ImportReport(spans=Spans(seen=None if dry_now is None else set()))

    @contextmanager
    def open_file(self, path: Path, name: str) -> Iterator[BinaryIO]:
        try:
            with path.open("rb") as raw, self.collect_rejects(name):
                yield raw
        except PermissionError:
            raise ConfigurationWrong(f"{path} cannot be read by this user") from None

    @contextmanager
    def collect_rejects(self, name: str) -> Iterator[None]:
        self._rejects = []
        self._measure = _measure_nothing
        yield
        self.report.rejects += [(name, *reject) for reject in sorted(self._rejects, key=itemgetter(0))]

    def read_rows(self, path: Path, raw: BinaryIO, header: Sequence[str] = ()) -> NumberedRows:
        def show(row: int, total: int) -> None:
            self._measure = lambda: (min(row, total - 1), total)

        if path.suffix == ".parquet":
            return parquet_rows(path, self._reject, show)
        self._measure = _make_progress_measure(raw)
        return csv_rows(raw, path.name, self._reject, header)

    def map_rows(self, file: MappedFile, rows: NumberedRows) -> NumberedEntries:
        if file.with_match_rules_only.rules:
            unmatched = self.report.unmatched
            rows = add_matches(self._ledger, self._marketplace, file, rows, self._reject, unmatched)
        yield from file.entries(rows)

    def read_entries(self, name: str, raw: BinaryIO) -> NumberedEntries:
        self._measure = _make_progress_measure(raw)
        for line, text in lines_of(raw, name, self._reject):
            if not text.strip():
                continue
            try:
                entry = entry_from_json(text, self._marketplace)
            except InvalidInput as error:
                yield line, RowRejected(error.message)
                continue
            if isinstance(entry, ListedEntry) and entry.is_ledgers_own:
                self.report.left_out += 1
            else:
                yield line, entry

    def append_all(self, name: str, items: NumberedEntries) -> None:
        step = f"import {name}"
        batch: list[tuple[int, Entry]] = []
        with closing(items):
            for line, group in groupby(items, key=itemgetter(0)):
                row_entries = [entry for _, entry in group]
                accepted = [entry for entry in row_entries if isinstance(entry, Entry)]
                if len(accepted) < len(row_entries):
                    accepted = [*self._reject_row(line, row_entries)]
                if len(batch) + len(accepted) > MAX_BATCH:  # some entries of a row refer to others
                    self._append_batch(batch)
                    batch = []
                batch += [(line, entry) for entry in accepted]
                if len(batch) >= MAX_BATCH:
                    self._append_batch(batch)
                    batch = []
                    self._progress(step, *self._measure())
        self._append_batch(batch)
        _, total = self._measure()
        self._progress(step, total, total)

    def _reject_row(self, line: int, row_entries: Sequence[Entry | RowRejected]) -> Iterator[Entry]:
        """Reject a row's wrong entries, and those about a violation whose report on the row is wrong; yield the others.

        The latter could wait unnoticed, or decide about an earlier report with this id.
        """
        lost = {error.entry_id: error for error in row_entries if isinstance(error, ReportRejected)}
        for entry in row_entries:
            if isinstance(entry, RowRejected):
                self._reject(line, str(entry))
            elif (about := getattr(entry.fact, "violation", "")) in lost:
                self._reject(line, f"{about}: its report on this row was rejected: {lost[about]}")
            else:
                yield entry

    def _append_batch(self, batch: list[tuple[int, Entry]]) -> None:
        if not batch:
            return
        if self._dry_now is not None:
            batch = list(_reject_invalid(batch, self._dry_now, self._reject))
        self.report.spans.add(entry for _, entry in batch)
        if self._dry_now is not None:
            return
        lines = [line for line, _ in batch]
        entries = [entry for _, entry in batch]
        result = PartialAppend(self._ledger, self._marketplace, lines, self._begun).append(entries)
        for index, reason in result.refused.items():
            self._reject(lines[index], reason)
        self.report.add(result)

    def _reject(self, line: int, reason: str) -> None:
        self._rejects.append((line, reason))


def _reject_invalid(batch: Iterable[tuple[int, Entry]], now: int, reject: Reject) -> Iterator[tuple[int, Entry]]:
    """Yield the entries that a ledger would take at a time; reject the others."""
    for line, entry in batch:
        try:
            with suppress(OccurTimeAhead):
                prepare(entry, now, ())
        except InvalidInput as error:
            reject(
                line,
                "; ".join(
                    format_field_error(field_error.path, field_error.description, entry)
                    for field_error in error.violations
                ),
            )
        else:
            yield line, entry


def require_files(mapping: ForeignMapping, data: Path) -> None:
    """Raise InvalidInput if `data` lacks a file of the mapping, ConfigurationWrong if a file lacks a column."""
    named = [path for file in mapping.files for path in (file.path, *(join.path for join in file.joins))]
    missing = [path for path in dict.fromkeys(named) if not (data / path).is_file()]
    if missing:
        raise invalid("--data", f"{data} lacks {', '.join(missing)}, which the mapping names; give their folder")
    for file in mapping.files:
        _require_columns(file, data / file.path)


def read_mapped_rows(file: MappedFile, data: Path) -> NumberedRows:
    """Yield (line, row), without malformed rows. Raises ConfigurationWrong for one of a joined file."""
    return _join_rows(file, data, _read_rows(data / file.path, lambda *_: None, file.columns))


def _join_rows(file: MappedFile, data: Path, rows: NumberedRows) -> NumberedRows:
    for join in file.joins:
        rows = join.joined(rows, join.index(_read_rows(data / join.path, _make_refuser(join.path))))
    return rows


def _make_refuser(name: str) -> Reject:
    def refuse(line: int, reason: str) -> None:
        raise ConfigurationWrong(f"{Path(name).name}, line {line}: {reason}")

    return refuse


def _read_rows(path: Path, refuse: Reject, header: Sequence[str] = ()) -> NumberedRows:
    if path.suffix == ".parquet":
        yield from parquet_rows(path, refuse, lambda *_: None)
        return
    with path.open("rb") as raw:
        yield from csv_rows(raw, path.name, refuse, header)


def _require_columns(file: MappedFile, path: Path) -> None:
    columns = file.columns or columns_of(path)
    missing = sorted(file.read_columns - {"line", *columns}) if columns else []
    if missing:
        raise ConfigurationWrong(
            f"{path} has no column {', '.join(map(repr, missing))}, which the mapping names; it has"
            f" {', '.join(columns[:20])}{advise_commas(columns)}"
        )


def _measure_nothing() -> tuple[int, int]:
    return 0, 1


def _make_progress_measure(raw: BinaryIO) -> Callable[[], tuple[int, int]]:
    size = os.fstat(raw.fileno()).st_size
    return lambda: (min(raw.tell(), size - 1), size)
