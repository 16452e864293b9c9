"""Import of somebody's own files into the ledger: good rows once, bad rows into a reject file with line and reason.

Rerunning is safe: entries that are there already stay as they are, so a mended file is simply imported again. An import
that was interrupted goes on where it was. Rows that find no seller go to a queue for a person
(`service.ingest.unmatched_queue`).
"""

import csv
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import file_digest
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from scoring.entries.entry import MAX_BATCH, Entry, prepare
from scoring.errors import ConfigurationWrong, InvalidInput, OccurTimeAhead, invalid
from scoring.progress import Progress
from service.contract.entries import ListedEntry
from service.ingest.import_summary import Spans
from service.ingest.mapping.cells import Row, RowRejected
from service.ingest.mapping.rules import ForeignMapping, MappedFile, ReportRejected
from service.ingest.partial_append import accept, format_field_error
from service.ingest.private_files import owner_only_opener
from service.ingest.row_matching import UnmatchedRow, with_matches
from service.ingest.sources.attempts import Attempt
from service.ingest.sources.payload import entry_from_json
from service.ingest.sources.tables import Reject, columns_of, csv_rows, lines_of, parquet_rows
from service.ledger.store import Ledger

Items = Generator[tuple[int, Entry | RowRejected], None, None]
ENTRY_FILES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
"""How files of the contract's entries end, one JSON object a line, which need no mapping."""


@dataclass(slots=True)
class ImportReport:
    """What became of an import."""

    appended: int = 0
    """Entries appended."""
    already_present: int = 0
    """Entries found there already."""
    repeated: int = 0
    """Those of them that this import had appended itself before."""
    waiting: int = 0
    """Appended entries that wait for the report they are about."""
    rejects: list[tuple[str, int, str]] = field(default_factory=list)
    """Rows rejected: (file, line, reason)."""
    unmatched: list[UnmatchedRow] = field(default_factory=list)
    """Rows that found no seller."""
    left_out: int = 0
    """Listed entries that a ledger had made by itself, as this one does."""
    resumed: dict[str, int] = field(default_factory=dict)
    """Where the import of a file went on, by its line, if another was interrupted before."""
    read_before: list[str] = field(default_factory=list)
    """Files that the other one had read to their end, of which nothing is counted here but their rejects."""
    spans: Spans = field(default_factory=Spans)
    """What the sound rows state, whether or not it was there already."""


def import_files(
    ledger: Ledger,
    mapping: ForeignMapping,
    data: Path,
    progress: Progress,
    journal: Path | None = None,
    dry_now: int | None = None,
) -> ImportReport:
    """Import every file of a mapping found below `data`; return what became of all rows.

    Raises InvalidInput if a file is missing, ConfigurationWrong if one lacks a column that the mapping names: nothing is
    imported then. Rows that cannot be appended are rejected in the report, and hold nothing up.

    `journal`: folder of what an interrupted import must remember; None: it would begin anew. `dry_now`: append nothing,
    and check each entry by itself as of this time.
    """
    named = [path for file in mapping.files for path in (file.path, *(join.path for join in file.joins))]
    missing = [path for path in dict.fromkeys(named) if not (data / path).is_file()]
    if missing:
        raise invalid("--data", f"{data} lacks {', '.join(missing)}, which the mapping names; give their folder")
    for file in mapping.files:
        _require_columns(file, data / file.path)
    run = _Run(ledger, mapping.marketplace, progress, dry_now)
    for file in mapping.files:
        # Who finds no seller is listed at the end, and who does depends on what is known by then: such a file begins anew.
        remembers = None if file.matched.rules else journal
        path = data / file.path
        with run.file(path, file.path, _how(mapping, file, data) if remembers else "", remembers) as (raw, attempt):
            rows = run.rows(path, raw, attempt, file.columns)
            for join in file.joins:
                rows = join.joined(rows, join.index(_rows_to_join(data / join.path)))
            items = run.mapped(file, rows, attempt)
            # Counted exposure needs every row of its file: there, an interrupted import begins the file anew.
            run.append(file.path, items, attempt, resumable=not file.counts)
    return run.finished()


def import_entries(
    ledger: Ledger,
    marketplace: str,
    path: Path,
    progress: Progress,
    journal: Path | None = None,
    dry_now: int | None = None,
) -> ImportReport:
    """Import a file of the contract's entries, one JSON object a line, plain or in gzip.

    Returns what became of it. Raises InvalidInput if there is no such file. `journal`: folder of what an interrupted
    import must remember; None: it would begin anew. `dry_now`: append nothing, and check each entry by itself as of this
    time.
    """
    if not path.is_file():
        raise invalid("FILE", f"there is no file {path}")
    run = _Run(ledger, marketplace, progress, dry_now)
    with run.file(path, path.name, f"entries of {marketplace}", journal) as (raw, attempt):
        run.append(path.name, run.entries(path.name, raw, attempt), attempt)
    return run.finished()


def import_rows(
    ledger: Ledger, marketplace: str, files: Iterable[tuple[MappedFile, Iterable[tuple[int, Row]]]]
) -> ImportReport:
    """Append (line, row) pairs by the rules of their mapped files; return what became of them.

    A row that has its match already keeps it.
    """
    run = _Run(ledger, marketplace, lambda *_: None)
    for file, rows in files:
        with run.attempt(file.path, Attempt(ledger)) as attempt:
            run.append(file.path, run.mapped(file, rows, attempt), attempt)
    return run.finished()


def write_rejects(report: ImportReport, path: Path) -> None:
    """Write the rejected rows as CSV, with columns file, line and reason, for the owner alone.

    An existing file is replaced.
    """
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace", opener=owner_only_opener) as out:
        writer = csv.writer(out)
        writer.writerow(("file", "line", "reason"))
        writer.writerows(report.rejects)


class _Run:
    """One import: its files one after the other, what became of them, and how far it is."""

    def __init__(self, ledger: Ledger, marketplace: str, progress: Progress, dry_now: int | None = None) -> None:
        self._ledger = ledger
        self._marketplace = marketplace
        self._progress = progress
        self._dry_now = dry_now
        self._begun = None if dry_now is not None else ledger.cut().sequence
        # What rows state again is one entry; the ledger would know, a dry run has to.
        self._report = ImportReport(spans=Spans(seen=None if dry_now is None else set()))
        self._attempts: list[Attempt] = []
        self._done: Callable[[], tuple[int, int]] = _nothing

    @contextmanager
    def file(self, path: Path, name: str, how: str, journal: Path | None) -> Iterator[tuple[BinaryIO, Attempt]]:
        """Open a file of the import, and show how far an interrupted import of it came."""
        try:
            with path.open("rb") as raw:
                attempt = Attempt.resume(self._ledger, raw, how, journal) if journal else Attempt(self._ledger)
                with self.attempt(name, attempt):
                    yield raw, attempt
        except PermissionError:
            raise ConfigurationWrong(f"{path} cannot be read by this user") from None

    @contextmanager
    def attempt(self, name: str, attempt: Attempt) -> Iterator[Attempt]:
        """Begin an attempt that becomes part of the import.

        Its rejects become part of the report, in the order of their lines.
        """
        if attempt.is_read:
            self._report.read_before.append(name)
        elif attempt.start:
            self._report.resumed[name] = attempt.start
        self._attempts.append(attempt)
        self._done = _nothing
        yield attempt
        self._report.rejects += [(name, line, reason) for line, reason in sorted(attempt.rejects, key=lambda r: r[0])]

    def rows(
        self, path: Path, raw: BinaryIO, attempt: Attempt, header: Sequence[str] = ()
    ) -> Iterator[tuple[int, Row]]:
        """Return the rows of a CSV or Parquet file that are still to be read, as (line, row).

        A Parquet row's line is its number. `header`: the columns of a CSV file that does not name them.
        """

        def show(row: int, total: int) -> None:
            self._done = lambda: (min(row, total - 1), total)

        reject = _reject_to(attempt)
        if path.suffix == ".parquet":
            return parquet_rows(path, reject, attempt.start, show)
        self._done = _far_in(raw)
        rows = csv_rows(raw, path.name, reject, header)
        return (row for row in rows if row[0] >= attempt.start) if attempt.start else rows

    def mapped(self, file: MappedFile, rows: Iterable[tuple[int, Row]], attempt: Attempt) -> Items:
        """Yield what rows become by their file's rules, each with its match if a rule needs one."""
        if file.matched.rules:
            reject, unmatched = _reject_to(attempt), self._report.unmatched
            rows = with_matches(self._ledger, self._marketplace, file, rows, reject, unmatched)
        yield from file.entries(rows)

    def entries(self, name: str, raw: BinaryIO, attempt: Attempt) -> Items:
        """Yield what the lines of a file of entries become."""
        self._done = _far_in(raw)
        for line, text in lines_of(raw, name, _reject_to(attempt)):
            if line < attempt.start or not text.strip():
                continue
            try:
                entry = entry_from_json(text, self._marketplace)
            except InvalidInput as error:
                yield line, RowRejected(error.message)
                continue
            if isinstance(entry, ListedEntry) and entry.is_ledgers_own:
                self._report.left_out += 1
            else:
                yield line, entry

    def append(self, name: str, items: Items, attempt: Attempt, *, resumable: bool = True) -> None:
        """Append what a file's rows became, a batch at a time."""
        step = f"import {name}"
        reject = _reject_to(attempt)
        batch: list[tuple[int, Entry]] = []
        if not attempt.is_read:
            with closing(items):  # which let go of the file before it is closed
                for line, group in groupby(items, key=itemgetter(0)):
                    made = _without_their_reports([entry for _, entry in group])
                    for entry in made:
                        if isinstance(entry, RowRejected):
                            reject(line, str(entry))
                    sound = [(line, entry) for entry in made if isinstance(entry, Entry)]
                    if len(batch) + len(sound) > MAX_BATCH:  # a row's entries stay together: some are about others
                        self._append(batch, attempt, resumable)
                        batch = []
                    batch += sound
                    if len(batch) >= MAX_BATCH:
                        self._append(batch, attempt, resumable)
                        batch = []
                        self._progress(step, *self._done())
            self._append(batch, attempt, resumable)
            attempt.end()
        _, total = self._done()
        self._progress(step, total, total)

    def finished(self) -> ImportReport:
        """Return what became of the import, and forget its attempts.

        Importing the same begins anew from here on.
        """
        for attempt in self._attempts:
            attempt.finish()
        return self._report

    def _append(self, batch: list[tuple[int, Entry]], attempt: Attempt, resumable: bool) -> None:
        """Append a batch; what the ledger refuses goes to the rejects and the rest is appended."""
        if not batch:
            return
        if self._dry_now is not None:
            batch = list(_sound(batch, self._dry_now, _reject_to(attempt)))
        self._report.spans.add(entry for _, entry in batch)
        if self._dry_now is not None:
            return
        # Reading would go on with the last row, not after it: what is there of it already is recognised.
        position = attempt.position(batch[-1][0]) if resumable else None
        attempt.keep()
        done = accept(
            *(self._ledger, self._marketplace, [entry for _, entry in batch], position),
            lambda refused: attempt.keep((batch[index][0], reason) for index, reason in refused.items()),
            [line for line, _ in batch],
            self._begun,
        )
        self._report.appended += done.appended
        self._report.waiting += done.waiting
        self._report.already_present += done.already_present
        self._report.repeated += done.repeated


def _sound(batch: Iterable[tuple[int, Entry]], now: int, reject: Reject) -> Iterator[tuple[int, Entry]]:
    """Yield the entries that are sound by themselves; the others are rejected."""
    for line, entry in batch:
        try:
            with suppress(OccurTimeAhead):  # by when it would be appended, its time has come
                prepare(entry, now, ())
        except InvalidInput as error:
            reject(
                line, "; ".join(format_field_error(wrong.path, wrong.description, entry) for wrong in error.violations)
            )
        else:
            yield line, entry


def _how(mapping: ForeignMapping, file: MappedFile, data: Path) -> str:
    """Return how a file is read: by which mapping, and joined with files of which content."""
    digests = []
    for join in file.joins:
        with (data / join.path).open("rb") as raw:
            digests.append(file_digest(raw, "sha256").hexdigest())
    return " ".join([mapping.digest, file.path, *digests])


def _rows_to_join(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a file that others are joined with.

    ConfigurationWrong names a row that cannot be read.
    """

    def refuse(line: int, reason: str) -> None:
        raise ConfigurationWrong(f"{path.name}, line {line}: {reason}")

    if path.suffix == ".parquet":
        yield from parquet_rows(path, refuse, 0, lambda *_: None)
        return
    with path.open("rb") as raw:
        yield from csv_rows(raw, path.name, refuse)


def _without_their_reports(made: Sequence[Entry | RowRejected]) -> list[Entry | RowRejected]:
    """Return what a row became, without entries about a violation whose report was rejected.

    The report of the same row. Those are rejected too: they would wait for that report, and nobody would know.
    """
    lost = {error.entry_id: error for error in made if isinstance(error, ReportRejected)}
    return [
        RowRejected(f"{about}: its report on this row was rejected: {lost[about]}")
        if isinstance(item, Entry) and (about := getattr(item.fact, "violation", "")) in lost
        else item
        for item in made
    ]


def _require_columns(file: MappedFile, path: Path) -> None:
    """Raise ConfigurationWrong if the file lacks a column that its rules name.

    Also if it has one that the mapping counts. What is no table is found when it is read.
    """
    columns = file.columns or columns_of(path)
    counted = file.so_far.columns.keys() if file.so_far is not None else ()
    if taken := sorted(set(counted).intersection(columns)):
        raise ConfigurationWrong(
            f"{path} has a column {taken[0]!r}, and count_so_far of the mapping counts one of that name; choose another"
        )
    missing = sorted(file.asked - {"line", *columns}) if columns else []
    if missing:
        raise ConfigurationWrong(
            f"{path} has no column {', '.join(map(repr, missing))}, which the mapping names; it has"
            f" {', '.join(columns[:20])}"
        )


def _nothing() -> tuple[int, int]:
    return 0, 1


def _far_in(raw: BinaryIO) -> Callable[[], tuple[int, int]]:
    """Return how many bytes of a file are read, of how many."""
    size = os.fstat(raw.fileno()).st_size
    return lambda: (min(raw.tell(), size - 1), size)


def _reject_to(attempt: Attempt) -> Reject:
    """Add rejects to an attempt.

    What comes before its start is among those that the interrupted import kept.
    """

    def reject(line: int, reason: str) -> None:
        if line >= attempt.start:
            attempt.rejects.append((line, reason))

    return reject
