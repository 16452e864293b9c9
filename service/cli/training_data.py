from pathlib import Path
from typing import TYPE_CHECKING

from scoring.base.errors import EntryNotFound
from scoring.base.progress import Progress
from service.bootstrap import open_ledger
from service.settings import Settings

if TYPE_CHECKING:
    from training.observation.export import LedgerTable
    from training.study.definition import Study as ReadStudy


def study_of(path: Path) -> "ReadStudy":
    """Load a file, or the shipped study of its name if there is no file. Raises ConfigurationWrong."""
    from training.study.loading import load_study

    shipped = Path(__file__).parents[2] / "training" / "studies" / path.name
    return load_study(path if path.exists() or not shipped.exists() else shipped)


def table_of(settings: Settings, marketplace: str, export: Path | None, progress: Progress) -> "LedgerTable":
    """Return a marketplace's export, from `export`; None: made of the ledger, in the data folder.

    Raises EntryNotFound if the ledger has no entries of the marketplace.
    """
    from training.observation.export import read_export, write_export

    if export is None:
        export = settings.data_dir / "exports" / f"{marketplace}.parquet"
        progress("export", 0, 1)
        with open_ledger(settings) as ledger:
            count = write_export(ledger.entries.export(marketplace, ledger.cut()), export)
        progress("export", 1, 1)
        if not count:
            raise EntryNotFound(
                f"the ledger holds no entries of marketplace {marketplace!r}; import them first: sellertrust ledger import,"
                " or name the one you mean by --marketplace or in the study"
            )
    return read_export(export, progress)
