import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.ingest.file_import import import_files
from service.ingest.mapping.rules import mapping_of
from service.ledger.store import Ledger
from training.observation.export import LedgerTable, read_export, write_export

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
STUDIES = ROOT / "training" / "studies"
Say = Callable[[str], None]


def toronto() -> Path | None:
    folder = SHARED / "toronto_dinesafe"
    return folder if folder.is_dir() else None


def chicago() -> Path | None:
    folder = SHARED / "chicago_food"
    return folder if folder.is_dir() else None


@contextmanager
def imported(mapping_file: Path, data: Path, say: Say) -> Iterator[tuple[Ledger, LedgerTable]]:
    mapping = mapping_of(tomllib.loads(mapping_file.read_text()))
    with tempfile.TemporaryDirectory() as folder, Ledger.open(f"sqlite:///{folder}/ledger.db", create=True) as ledger:
        report = import_files(ledger, mapping, data, lambda step, done, total: None)
        say(f"imported {report.appended:,} entries, {len(report.rejects):,} rows rejected")
        export = Path(folder) / "export.parquet"
        write_export(ledger.entries.export(mapping.marketplace, ledger.cut()), export)
        yield ledger, read_export(export)
