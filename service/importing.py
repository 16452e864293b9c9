"""Import of somebody's own files into the ledger: good rows once, bad rows into a reject file with line and reason.

Rerunning is safe: entries that are there already stay as they are, so a mended file is simply imported again.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from scoring.entries import MAX_BATCH, Entry
from scoring.errors import ConfigurationWrong, InvalidInput, SellertrustError
from scoring.mapping import ForeignMapping, RowRejected
from service.ledger import Ledger

Progress = Callable[[str, int, int], None]
_INDEX = re.compile(r"entries\[(\d+)\]\.?")
csv.field_size_limit(1 << 20)


@dataclass(slots=True)
class ImportReport:
    """What became of an import: entries appended, found there already, and rows rejected, by (file, line, reason)."""

    appended: int = 0
    already_present: int = 0
    rejects: list[tuple[str, int, str]] = field(default_factory=list)


def import_files(ledger: Ledger, mapping: ForeignMapping, data: Path, progress: Progress) -> ImportReport:
    """Imports every file of a mapping found below `data`. ConfigurationWrong if one is missing."""
    report = ImportReport()
    missing = [file.path for file in mapping.files if not (data / file.path).is_file()]
    if missing:
        raise ConfigurationWrong(
            f"{data} lacks {', '.join(missing)}, which the mapping names; give their folder by --data"
        )
    for file in mapping.files:
        path = data / file.path
        batch: list[tuple[int, Entry]] = []
        with path.open("rb") as raw:
            size = path.stat().st_size
            for line, entry in file.entries(_rows(raw, path, report)):
                if isinstance(entry, RowRejected):
                    report.rejects.append((file.path, line, str(entry)))
                    continue
                batch.append((line, entry))
                if len(batch) == MAX_BATCH:
                    _append(ledger, mapping.marketplace, file.path, batch, report)
                    batch = []
                    progress(f"import {file.path}", min(raw.tell(), size - 1), size)
            _append(ledger, mapping.marketplace, file.path, batch, report)
            progress(f"import {file.path}", size, size)
    return report


def write_rejects(report: ImportReport, path: Path) -> None:
    """Writes the rejected rows as CSV: file, line, reason."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("file", "line", "reason"))
        writer.writerows(report.rejects)


def _rows(raw: BinaryIO, path: Path, report: ImportReport) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row by column) of a CSV or CSV.gz file; rows that are no rows of the table are rejected here."""
    with _text(raw, path) as text:
        reader = csv.reader(text)
        try:
            header = next(reader, [])
            for cells in reader:
                if len(cells) == len(header):
                    yield reader.line_num, dict(zip(header, cells, strict=True))
                elif cells:
                    reason = f"has {len(cells)} cells where the header has {len(header)}"
                    report.rejects.append((path.name, reader.line_num, reason))
        except (csv.Error, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
            # What follows cannot be told apart from damage, so the file ends here; what came before is imported.
            reason = f"the file cannot be read beyond this line ({type(error).__name__}): mend it and import it again"
            report.rejects.append((path.name, reader.line_num + 1, reason))


def _text(raw: BinaryIO, path: Path) -> TextIO:
    binary = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
    return io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")


def _append(ledger: Ledger, marketplace: str, file: str, batch: list[tuple[int, Entry]], report: ImportReport) -> None:
    """Appends a batch; what the ledger refuses goes to the rejects and the rest is appended."""
    if not batch:
        return
    try:
        results = ledger.append(marketplace, [entry for _, entry in batch], imported=True)
    except InvalidInput as error:
        reasons = {
            int(found[1]): f"{_INDEX.sub('', wrong.field)}: {wrong.description}"
            for wrong in error.violations
            if (found := _INDEX.match(wrong.field))
        }
        if not reasons:
            raise
        report.rejects += [(file, batch[index][0], reason) for index, reason in sorted(reasons.items())]
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
