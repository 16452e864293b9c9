"""Import of somebody's own files into the ledger: good rows once, bad rows into a reject file with line and reason.

Rerunning is safe: entries that are there already stay as they are, so a mended file is simply imported again. An import
that was interrupted goes on where it was.
"""

import csv
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from scoring.entries import MAX_BATCH, Entry
from scoring.errors import ConfigurationWrong, InvalidInput
from scoring.mapping import ForeignMapping, MappedFile, RowRejected
from service.accepting import accept
from service.ledger import Ledger
from service.sources.attempts import Attempt
from service.sources.payload import entry_from_json
from service.sources.tables import csv_rows, lines_of, parquet_rows

Progress = Callable[[str, int, int], None]
Items = Generator[tuple[int, Entry | RowRejected], None, None]
ENTRY_FILES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
"""How files of the contract's entries end, one JSON object a line, which need no mapping."""


@dataclass(slots=True)
class ImportReport:
    """What became of an import: entries appended, found there already, and rows rejected, by (file, line, reason).

    `resumed`: where the import of a file went on, by its line, if another was interrupted before.
    """

    appended: int = 0
    already_present: int = 0
    rejects: list[tuple[str, int, str]] = field(default_factory=list)
    resumed: dict[str, int] = field(default_factory=dict)


def import_files(
    ledger: Ledger, mapping: ForeignMapping, data: Path, progress: Progress, journal: Path | None = None
) -> ImportReport:
    """Imports every file of a mapping found below `data`. ConfigurationWrong if one is missing.

    `journal`: folder of what an interrupted import must remember; None: it would begin anew.
    """
    missing = [file.path for file in mapping.files if not (data / file.path).is_file()]
    if missing:
        raise ConfigurationWrong(
            f"{data} lacks {', '.join(missing)}, which the mapping names; give their folder by --data"
        )
    run = _Run(ledger, mapping.marketplace, progress, journal)
    for file in mapping.files:
        with run.file(data / file.path, file.path, f"{mapping.digest} {file.path}") as (raw, attempt):
            rows = run.parquet if file.path.endswith(".parquet") else run.csv
            # Counted exposure needs every row of its file: there, an interrupted import begins the file anew.
            run.take(file.path, rows(file, data / file.path, raw, attempt), attempt, resumable=not file.counts)
    return run.finished()


def import_entries(
    ledger: Ledger, marketplace: str, path: Path, progress: Progress, journal: Path | None = None
) -> ImportReport:
    """Imports a file of the contract's entries, a JSON object a line, plain or in gzip. ConfigurationWrong if missing."""
    if not path.is_file():
        raise ConfigurationWrong(f"there is no file {path}")
    run = _Run(ledger, marketplace, progress, journal)
    with run.file(path, path.name, f"entries of {marketplace}") as (raw, attempt):
        run.take(path.name, run.entries(path.name, raw, attempt), attempt)
    return run.finished()


def write_rejects(report: ImportReport, path: Path) -> None:
    """Writes the rejected rows as CSV: file, line, reason."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as out:
        writer = csv.writer(out)
        writer.writerow(("file", "line", "reason"))
        writer.writerows(report.rejects)


class _Run:
    """One import: its files one after the other, what became of them, and how far it is."""

    def __init__(self, ledger: Ledger, marketplace: str, progress: Progress, journal: Path | None) -> None:
        self._ledger = ledger
        self._marketplace = marketplace
        self._progress = progress
        self._journal = journal
        self._report = ImportReport()
        self._attempts: list[Attempt] = []
        self._rejects: list[tuple[int, str]] = []
        self._done = (0, 1)

    @contextmanager
    def file(self, path: Path, name: str, how: str) -> Iterator[tuple[BinaryIO, Attempt]]:
        """A file of the import, opened, and how far an earlier import of it came that was interrupted."""
        try:
            with path.open("rb") as raw:
                attempt = Attempt(self._ledger, raw, how, self._journal)
                if attempt.start and not attempt.is_read:
                    self._report.resumed[name] = attempt.start
                self._attempts.append(attempt)
                self._rejects = attempt.rejects
                yield raw, attempt
        except PermissionError:
            raise ConfigurationWrong(f"{path} cannot be read by this user") from None
        self._report.rejects += [(name, line, reason) for line, reason in sorted(self._rejects, key=lambda r: r[0])]

    def csv(self, file: MappedFile, _: Path, raw: BinaryIO, attempt: Attempt) -> Items:
        """What the rows of a CSV file become."""
        rows = csv_rows(raw, file.path, lambda line, reason: self._reject(line, reason, attempt))
        size = os.fstat(raw.fileno()).st_size
        for item in file.entries(row for row in rows if row[0] >= attempt.start):
            self._done = (min(raw.tell(), size - 1), size)
            yield item

    def parquet(self, file: MappedFile, path: Path, _: BinaryIO, attempt: Attempt) -> Items:
        """What the rows of a Parquet file become; its lines are the numbers of its rows."""

        def told(row: int, total: int) -> None:
            self._done = (min(row, total - 1), total)

        def reject(line: int, reason: str) -> None:
            self._reject(line, reason, attempt)

        yield from file.entries(parquet_rows(path, reject, attempt.start, told))

    def entries(self, name: str, raw: BinaryIO, attempt: Attempt) -> Items:
        """What the lines of a file of entries become."""
        size = os.fstat(raw.fileno()).st_size
        for line, text in lines_of(raw, name, lambda line, reason: self._reject(line, reason, attempt)):
            if line < attempt.start or not text.strip():
                continue
            self._done = (min(raw.tell(), size - 1), size)
            try:
                yield line, entry_from_json(text, self._marketplace)
            except InvalidInput as error:
                yield line, RowRejected(error.message)

    def take(self, name: str, items: Items, attempt: Attempt, *, resumable: bool = True) -> None:
        """Appends what a file's rows became, a batch at a time."""
        step = f"import {name}"
        batch: list[tuple[int, Entry]] = []
        if not attempt.is_read:
            with closing(items):  # which let go of the file before it is closed
                for line, entry in items:
                    if isinstance(entry, RowRejected):
                        self._reject(line, str(entry), attempt)
                        continue
                    batch.append((line, entry))
                    if len(batch) == MAX_BATCH:
                        self._append(batch, attempt, resumable)
                        batch = []
                        self._progress(step, *self._done)
            self._append(batch, attempt, resumable)
            attempt.end()
        self._progress(step, self._done[1], self._done[1])
        self._done = (0, 1)

    def finished(self) -> ImportReport:
        """What became of the import. From here on, importing the same begins anew."""
        for attempt in self._attempts:
            attempt.finish()
        return self._report

    def _append(self, batch: list[tuple[int, Entry]], attempt: Attempt, resumable: bool) -> None:
        """Appends a batch; what the ledger refuses goes to the rejects and the rest is appended."""
        if not batch:
            return
        # The last row may have more entries, in the next batch: reading would go on with it, not after it.
        position = attempt.position(batch[-1][0]) if resumable else None
        attempt.keep()
        done = accept(
            *(self._ledger, self._marketplace, [entry for _, entry in batch], position),
            lambda refused: attempt.keep((batch[index][0], reason) for index, reason in refused.items()),
        )
        self._report.appended += done.appended
        self._report.already_present += done.already_present

    def _reject(self, line: int, reason: str, attempt: Attempt) -> None:
        if line >= attempt.start:  # what comes before is among the rejects that the interrupted import kept
            attempt.rejects.append((line, reason))
