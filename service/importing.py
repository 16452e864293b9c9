"""Import of somebody's own files into the ledger: good rows once, bad rows into a reject file with line and reason.

Rerunning is safe: entries that are there already stay as they are, so a mended file is simply imported again. Rows that
find no seller go to a queue for a person (`service.unmatched`).
"""

import csv
import gzip
import io
import os
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from scoring.cells import RowRejected
from scoring.entries import MAX_BATCH, Entry
from scoring.errors import ConfigurationWrong, InvalidInput, SellertrustError
from scoring.mapping import ForeignMapping, MappedFile
from scoring.matching import SELLER, IdentityIndex, Match, Unmatched, match
from service.ledger import Ledger, StatedMatch

Progress = Callable[[str, int, int], None]
_INDEX = re.compile(r"entries\[(\d+)\]\.?")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
MAX_RECORD_LINES = 50
"""Lines that one record may span, by line breaks within quotes."""

MAX_CELL = 1 << 20
csv.field_size_limit(MAX_CELL)

MATCHED_ROWS = 5_000
"""Rows whose match is looked for at a time."""

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UnmatchedRow:
    """A row that found no seller: why, among whom (ids, by blanks), and what a person says of it.

    `ids` are those of the entries it would become, which tell it from others.
    """

    file: str
    line: int
    reason: str
    candidates: str
    row: Row
    ids: tuple[str, ...]
    seller: str = ""
    verified: str = ""
    decided_by: str = ""


@dataclass(slots=True)
class ImportReport:
    """What became of an import: entries appended, found there already, rows rejected, by (file, line, reason), and rows
    that found no seller.
    """

    appended: int = 0
    already_present: int = 0
    rejects: list[tuple[str, int, str]] = field(default_factory=list)
    unmatched: list[UnmatchedRow] = field(default_factory=list)


def import_files(ledger: Ledger, mapping: ForeignMapping, data: Path, progress: Progress) -> ImportReport:
    """Imports every file of a mapping found below `data`. ConfigurationWrong if one is missing."""
    report = ImportReport()
    missing = [file.path for file in mapping.files if not (data / file.path).is_file()]
    if missing:
        raise ConfigurationWrong(
            f"{data} lacks {', '.join(missing)}, which the mapping names; give their folder by --data"
        )
    for file in mapping.files:
        try:
            with (data / file.path).open("rb") as raw:
                _import(ledger, mapping.marketplace, file, raw, report, progress)
        except PermissionError:
            raise ConfigurationWrong(f"{data / file.path} cannot be read by this user") from None
    return report


def _import(
    ledger: Ledger, marketplace: str, file: MappedFile, raw: BinaryIO, report: ImportReport, progress: Progress
) -> None:
    """Imports one file, a batch at a time."""
    size = os.fstat(raw.fileno()).st_size
    import_rows(
        ledger,
        marketplace,
        file,
        _rows(raw, file.path, report),
        report,
        lambda: progress(f"import {file.path}", min(raw.tell(), size - 1), size),
    )
    progress(f"import {file.path}", size, size)


def import_rows(
    ledger: Ledger,
    marketplace: str,
    file: MappedFile,
    rows: Iterable[tuple[int, Row]],
    report: ImportReport,
    on_batch: Callable[[], None],
) -> None:
    """Imports numbered rows by a file's rules. A row that has its match already keeps it."""
    rejected_before = len(report.rejects)
    batch: list[tuple[int, Entry]] = []
    if file.matched.rules:
        rows = _matched(ledger, marketplace, file, rows, report)
    for line, entry in file.entries(rows):
        if isinstance(entry, RowRejected):
            report.rejects.append((file.path, line, str(entry)))
            continue
        batch.append((line, entry))
        if len(batch) == MAX_BATCH:
            _append(ledger, marketplace, file.path, batch, report)
            batch = []
            on_batch()
    _append(ledger, marketplace, file.path, batch, report)
    report.rejects[rejected_before:] = sorted(report.rejects[rejected_before:], key=lambda reject: reject[1])


def _matched(
    ledger: Ledger, marketplace: str, file: MappedFile, rows: Iterable[tuple[int, Row]], report: ImportReport
) -> Iterator[tuple[int, Row]]:
    """The rows with their match; those that find none are reported, and go on without.

    A match that was made stands: what is on record of a row says whose it is, and whether that was verified, before any
    identifier does. Else the row would become another entry under the same id once more is known of a seller.
    """
    attributes = {identifier.attribute for identifier in file.identifiers}
    index = IdentityIndex(ledger.identities(marketplace, ledger.cut()), attributes)
    rows = iter(rows)
    while chunk := list(islice(rows, MATCHED_ROWS)):
        named = [file.named(line, row) for line, row in chunk]
        known = ledger.stated_matches(marketplace, sorted({name for names in named for name in names if name}))
        for (line, row), names in zip(chunk, named, strict=True):
            if not names or SELLER in row:
                yield line, row
                continue
            try:
                found = _settled(names, known, match(file.identifiers, row, index))
            except RowRejected as error:
                report.rejects.append((file.path, line, str(error)))
                continue
            if isinstance(found, Match):
                yield line, {**row, **found.columns()}
            else:
                candidates = " ".join(found.candidates)
                report.unmatched.append(UnmatchedRow(file.path, line, found.reason, candidates, row, names))
                yield line, row


def _settled(names: Sequence[str], known: Mapping[str, StatedMatch], found: Match | Unmatched) -> Match | Unmatched:
    """The match that stands on record for a row that names these entries; else the one that was found now."""
    stated = [known[name] for name in names if name in known]
    if not stated:
        return found
    seller = stated[0].seller
    for one in stated:
        if one.seller == seller and one.verified is not None:
            return Match(seller, one.verified)
    return Match(seller, found == Match(seller, True))


def write_rejects(report: ImportReport, path: Path) -> None:
    """Writes the rejected rows as CSV: file, line, reason."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as out:
        writer = csv.writer(out)
        writer.writerow(("file", "line", "reason"))
        writer.writerows(report.rejects)


def _rows(raw: BinaryIO, file: str, report: ImportReport) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row by column) of a CSV or CSV.gz file; rows that are no rows of the table are rejected here."""
    # One byte that is no UTF-8 costs its row, not the file: it comes as a surrogate, which no proper text holds.
    binary = gzip.GzipFile(fileobj=raw) if file.endswith(".gz") else raw
    text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
    records = _records(text)
    line = 0
    try:
        line, header = next(records, (1, []))
        if wrong := _wrong_header(header or []):
            report.rejects.append((file, 1, wrong))
            return
        for line, cells in records:
            if cells is None:
                report.rejects.append((file, line, "a quote is left open, or stands where none may: mend this line"))
            elif reason := _wrong_row(cells, len(header or [])):
                report.rejects.append((file, line, reason))
            elif cells:
                yield line, dict(zip(header or [], cells, strict=True))
    except (EOFError, OSError, zlib.error) as error:
        # What follows cannot be told apart from damage, so the file ends here; what came before is imported.
        reason = f"the file cannot be read beyond this line ({type(error).__name__}): mend it and import it again"
        report.rejects.append((file, line + 1, reason))
    finally:
        if binary is raw:
            text.detach()  # the caller's to close: it asks how far the file is read


def _wrong_header(header: list[str]) -> str:
    """Why no row can be read under this header; empty if it is sound."""
    if not any(header):
        return "the file has no header: its first line must name the columns"
    if not _is_utf8(header):
        return "the header is not UTF-8: save the file as UTF-8 and import it again"
    twice = sorted({name for name in header if name and header.count(name) > 1})
    return f"the header names {', '.join(twice)} twice: give every column a name of its own" if twice else ""


def _records(text: Iterable[str]) -> Iterator[tuple[int, list[str] | None]]:
    """(first line, cells) of each record; None for the cells of a line that begins none.

    A quote that is left open would swallow what follows up to the next quote. So a record that does not end within
    MAX_RECORD_LINES costs its first line only, and reading goes on with the line after it.
    """
    source = iter(text)
    waiting: deque[str] = deque()
    number = 1
    while True:
        line = waiting.popleft() if waiting else next(source, None)
        if line is None:
            return
        if '"' not in line and len(line) < MAX_CELL:  # nothing to unquote: 0.5 us, where a reader takes 2.5
            bare = line.rstrip("\r\n")
            yield number, bare.split(",") if bare else []
            number += 1
            continue
        waiting.appendleft(line)
        taken: list[str] = []

        def feed(taken: list[str] = taken) -> Iterator[str]:
            while len(taken) < MAX_RECORD_LINES:
                line = waiting.popleft() if waiting else next(source, None)
                if line is None:
                    return
                taken.append(line)
                yield line

        try:
            cells = next(csv.reader(feed(), strict=True))
        except StopIteration:
            return
        except csv.Error:
            waiting.extendleft(reversed(taken[1:]))
            yield number, None
            number += 1
            continue
        yield number, cells
        number += len(taken)


def _wrong_row(cells: list[str], columns: int) -> str:
    """Why cells are no row of the table; empty if they are one, or a blank line."""
    if len(cells) not in (0, columns):
        return f"has {len(cells)} cells where the header has {columns}"
    return "" if _is_utf8(cells) else "is not UTF-8"


def _is_utf8(cells: list[str]) -> bool:
    text = "".join(cells)
    return text.isascii() or not _SURROGATE.search(text)


def _append(ledger: Ledger, marketplace: str, file: str, batch: list[tuple[int, Entry]], report: ImportReport) -> None:
    """Appends a batch; what the ledger refuses goes to the rejects and the rest is appended."""
    if not batch:
        return
    try:
        results = ledger.append(marketplace, [entry for _, entry in batch], imported=True)
    except InvalidInput as error:
        reasons: dict[int, list[str]] = {}
        for wrong in error.violations:
            if found := _INDEX.match(wrong.field):
                reasons.setdefault(int(found[1]), []).append(f"{_INDEX.sub('', wrong.field)}: {wrong.description}")
        if not reasons:
            raise
        report.rejects += [(file, batch[index][0], "; ".join(reason)) for index, reason in reasons.items()]
        _append(ledger, marketplace, file, [b for i, b in enumerate(batch) if i not in reasons], report)
    except SellertrustError as error:
        if error.reason in ("LEDGER_UNAVAILABLE", ""):
            raise
        if len(batch) == 1:
            report.rejects.append((file, batch[0][0], _INDEX.sub("", error.message)))
            return
        half = len(batch) // 2
        _append(ledger, marketplace, file, batch[:half], report)
        _append(ledger, marketplace, file, batch[half:], report)
    else:
        present = sum(result.already_present for result in results)
        report.already_present += present
        report.appended += len(results) - present
