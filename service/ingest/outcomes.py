"""What became of each report, for the office that sent it."""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from scoring.base.errors import ConfigurationWrong
from service.files import replacing_privately
from service.ingest.file_import import read_mapped_rows, require_files
from service.ingest.mapping.rules import ForeignMapping, MappedFile
from service.ledger.store import Ledger

ROWS_AT_ONCE = 1_000
NOT_ON_RECORD = "not_on_record"


def write_outcomes(ledger: Ledger, mapping: ForeignMapping, data: Path, folder: Path) -> list[Path]:
    """Write into `folder` each mapped file's rows that report a violation, with its id and status.

    Rows that an import rejects as malformed are left out. Raises as `require_files`, and ConfigurationWrong if two
    files would be written under one name, no rule reports violations, or the marketplace has none.
    """
    require_files(mapping, data)
    if not ledger.violations.list(mapping.marketplace, ledger.cut(), limit=1)[0]:
        raise ConfigurationWrong(f"marketplace {mapping.marketplace!r} has no violation on record: name another one")
    reporting = [file for file in mapping.files if any(rule.reports for rule in file.rules)]
    if not reporting:
        raise ConfigurationWrong("no rule of the mapping reports violations: name the mapping of an office's reports")
    written: list[Path] = []
    for file in reporting:
        target = folder / f"{Path(file.path.replace('/', '-').removesuffix('.gz')).stem}.outcomes.csv"
        if target in written:
            raise ConfigurationWrong(f"two files of the mapping would be written as {target.name}; rename one")
        written.append(target)
        with replacing_privately(target) as out:
            csv.writer(out).writerows(_list_outcomes(ledger, mapping.marketplace, file, data))
    return written


def _list_outcomes(ledger: Ledger, marketplace: str, file: MappedFile, data: Path) -> Iterator[list[str]]:
    rows, cut, is_first = read_mapped_rows(file, data), ledger.cut(), True
    while chunk := [*islice(rows, ROWS_AT_ONCE)]:
        if is_first:
            yield [*chunk[0][1], "sellertrust_violation", "sellertrust_status"]
            is_first = False
        reported = [(name, row) for line, row in chunk for name in file.list_report_ids(line, row)]
        views = ledger.violations.find_views(marketplace, {name for name, _ in reported}, cut)
        for name, row in reported:
            status = views[name].status.word if name in views else NOT_ON_RECORD
            yield [*row.values(), name, status]
