import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.cli.imports import mapping_of_file
from service.ingest.file_import import import_files
from service.ledger.store import Ledger
from tests.helpers.training_ledgers import exported
from training.evaluation.arrays import Interval
from training.observation.export import LedgerTable

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
Say = Callable[[str], None]


def _folder_of(data: str) -> Path | None:
    folder = SHARED / data
    return folder if folder.is_dir() else None


def toronto() -> Path | None:
    return _folder_of("toronto_dinesafe")


def chicago() -> Path | None:
    return _folder_of("chicago_food")


def figures_of_interval(name: str, interval: Interval) -> dict[str, float]:
    ends = (("", interval.value), (".low", interval.low), (".high", interval.high))
    return {f"{name}{end}": round(value, 4) for end, value in ends}


@contextmanager
def imported(mapping_file: Path, data: Path, say: Say) -> Iterator[tuple[Path, LedgerTable]]:
    mapping = mapping_of_file(mapping_file)
    with tempfile.TemporaryDirectory() as folder, Ledger.open(f"sqlite:///{folder}/ledger.db", create=True) as ledger:
        report = import_files(ledger, mapping, data, lambda step, done, total: None)
        say(f"imported {report.appended:,} entries, {len(report.rejects):,} rows rejected")
        yield Path(folder), exported(ledger, mapping.marketplace, Path(folder))
