"""The queue of rows without a seller: a CSV file in which a person fills in the sellers."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from scoring.base.canonical import parse_json
from scoring.base.errors import ConfigurationWrong, invalid
from scoring.base.progress import Progress
from scoring.entries.field_types import FLAG, ID_FORM, is_id
from service.files import owner_only_opener, replacing_privately
from service.ingest.file_import import ImportReport, import_files, import_rows
from service.ingest.mapping.matching import Match
from service.ingest.mapping.rules import ForeignMapping
from service.ingest.row_matching import UnmatchedRow
from service.ingest.sources.tables import RESERVED
from service.ledger.store import Ledger

HEADER = ("file", "line", "reason", "candidates", "seller", "verified", "decided_by", "row")


def import_and_queue(
    ledger: Ledger, mapping: ForeignMapping, data: Path, queue: Path, progress: Progress
) -> ImportReport:
    """Import the files and the queued rows that now match; rewrite the queue."""
    waiting = read_queue(queue, mapping)
    report = import_files(ledger, mapping, data, progress)
    new_rows = {_identify_row(row) for row in report.unmatched}
    retried = [row for row in waiting if _identify_row(row) not in new_rows]
    second_report = _import_queued_rows(ledger, mapping, retried, matched=False)
    report.appended += second_report.appended
    report.rejects += second_report.rejects
    report.unmatched = _keep_answers(
        waiting, [*report.unmatched, *second_report.unmatched, *_list_rows_left(retried, second_report, mapping)]
    )
    _write_queue(queue, report.unmatched)
    return report


def import_matched(ledger: Ledger, mapping: ForeignMapping, queue: Path) -> ImportReport:
    """Import filled-in rows and move them to `NAME.matched.csv` beside the queue; wrong answers are rejects.

    Raises InvalidInput without the file, ConfigurationWrong if it is no queue.
    """
    if not queue.is_file():
        raise invalid("--matched", f"there is no queue {queue}; sellertrust ledger import writes one")
    waiting = read_queue(queue, mapping)
    answered = [row for row in waiting if row.seller or row.decided_by or row.verified]
    wrong_answers = {
        index: reason for index, row in enumerate(answered) if (reason := _find_wrong_answer(ledger, mapping, row))
    }
    accepted = [row for index, row in enumerate(answered) if index not in wrong_answers]
    report = _import_queued_rows(ledger, mapping, accepted, matched=True)
    rows_left = _list_rows_left(accepted, report, mapping)
    report.rejects += [(answered[index].file, answered[index].line, reason) for index, reason in wrong_answers.items()]
    imported = [row for row in accepted if row not in rows_left]
    _append_to_matched(queue, imported)
    report.unmatched = [row for row in waiting if row not in imported]
    _write_queue(queue, report.unmatched)
    return report


def read_queue(path: Path, mapping: ForeignMapping) -> list[UnmatchedRow]:
    """Return the rows of a queue file, none if it is missing; ConfigurationWrong for a bad line."""
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationWrong(f"{path} cannot be read as text in UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if tuple(reader.fieldnames or ()) != HEADER:
        raise ConfigurationWrong(f"{path} is no queue: its first line must be {','.join(HEADER)}")
    files = {file.path: file for file in mapping.files}
    rows = []
    for cells in reader:
        try:
            row = parse_json(cells["row"])
            if not isinstance(row, dict) or not all(isinstance(cell, str) for cell in row.values()):
                raise TypeError
            if any(name.startswith(RESERVED) for name in row):
                raise ValueError(RESERVED)
            line = int(cells["line"])
        except (ValueError, TypeError, RecursionError):
            raise ConfigurationWrong(
                f"{path}, line {reader.line_num}: line and row must stay as they were written; fill in seller, verified"
                " and decided_by only"
            ) from None
        answers = [(cells[name] or "").strip() for name in ("seller", "verified", "decided_by")]
        file = files.get(cells["file"])
        ids = file.list_ids(line, row) if file else ()
        rows.append(UnmatchedRow(cells["file"], line, cells["reason"], cells["candidates"], row, ids, *answers))
    return rows


def _find_wrong_answer(ledger: Ledger, mapping: ForeignMapping, row: UnmatchedRow) -> str:
    if not row.seller:
        return "seller: is empty, though decided_by or verified is filled in: name the seller, or empty them too"
    if not is_id(row.decided_by):
        return f"decided_by: must say who matched the row, by {ID_FORM}"
    try:
        FLAG.parse(row.verified)
    except ValueError as error:
        return f"verified: {error}"
    if row.file not in {file.path for file in mapping.files}:
        return f"file: the mapping has no file {row.file!r}"
    if not is_id(row.seller) or not ledger.entries.list(
        mapping.marketplace, ledger.cut(), sellers=[row.seller], limit=1
    ):
        return f"seller: nothing is on record of {row.seller!r} in {mapping.marketplace}"
    return ""


def _import_queued_rows(
    ledger: Ledger, mapping: ForeignMapping, rows: Sequence[UnmatchedRow], *, matched: bool
) -> ImportReport:
    rows_by_file = []
    for file in mapping.files:
        rows_of_file = [
            (row.line, {**row.row, **Match(row.seller, FLAG.parse(row.verified)).columns()} if matched else row.row)
            for row in rows
            if row.file == file.path
        ]
        if rows_of_file:
            rows_by_file.append((file.with_match_rules_only, rows_of_file))
    return import_rows(ledger, mapping.marketplace, rows_by_file)


def _list_rows_left(rows: Iterable[UnmatchedRow], report: ImportReport, mapping: ForeignMapping) -> list[UnmatchedRow]:
    rejected = {(file, line) for file, line, _ in report.rejects}
    paths = {file.path for file in mapping.files}
    return [row for row in rows if (row.file, row.line) in rejected or row.file not in paths]


def _identify_row(row: UnmatchedRow) -> tuple[object, ...]:
    return (row.file, row.ids) if all(row.ids) and row.ids else (row.file, row.line, *row.row.values())


def _keep_answers(waiting: Iterable[UnmatchedRow], rows: Iterable[UnmatchedRow]) -> list[UnmatchedRow]:
    """Return each row once, with the answers that the queue has for it."""
    queued_rows = {_identify_row(row): row for row in waiting}
    merged: dict[tuple[object, ...], UnmatchedRow] = {}
    for row in rows:
        queued = queued_rows.get(_identify_row(row), row)
        merged.setdefault(
            _identify_row(row),
            replace(row, seller=queued.seller, verified=queued.verified, decided_by=queued.decided_by),
        )
    return list(merged.values())


def _write_queue(path: Path, rows: Sequence[UnmatchedRow]) -> None:
    if not rows:
        path.unlink(missing_ok=True)
        return
    with replacing_privately(path) as out:
        writer = csv.writer(out)
        writer.writerow(HEADER)
        writer.writerows(map(_format_row, rows))


def _append_to_matched(queue: Path, rows: Sequence[UnmatchedRow]) -> None:
    if not rows:
        return
    path = queue.with_name(queue.name.removesuffix(".csv").removesuffix(".unmatched") + ".matched.csv")
    is_new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8", opener=owner_only_opener) as out:
        writer = csv.writer(out)
        if is_new:
            writer.writerow(HEADER)
        writer.writerows(map(_format_row, rows))


def _format_row(row: UnmatchedRow) -> tuple[object, ...]:
    answers = (row.seller, row.verified, row.decided_by)
    return (row.file, row.line, row.reason, row.candidates, *answers, json.dumps(dict(row.row), ensure_ascii=False))
