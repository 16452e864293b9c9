"""Seconds of each migration of a ledger with a million entries, and of its backup and restore, on both databases."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alembic.script import ScriptDirectory

from service.ledger.database.database import Database
from service.ledger.database.schema import _config, upgrade_to
from service.ledger.seals.backup import write_backup
from service.ledger.seals.restore import restore_backup
from service.ledger.store import Ledger
from tests.bench._real_data import Say
from tests.bench._rows import insert_entries, seal_entries
from tests.databases import BACKENDS, database

ENTRIES = 1_000_000
BASELINE = "0100"
"""The oldest schema."""


def run(say: Say, entries: int = ENTRIES) -> dict[str, float]:
    """Seconds by database and version; `verified` counts the entries that match their seals afterwards."""
    figures: dict[str, float] = {"entries": entries}
    for backend in BACKENDS:
        name = "postgres" if backend == "postgresql" else backend
        with tempfile.TemporaryDirectory() as folder, database(backend, Path(folder), empty=True) as url:
            found = _migrate(url, entries)
            found |= _back_up(url, backend, Path(folder))
        figures |= {f"{name}.{step}": value for step, value in found.items()}
        say(f"{name}: {found}")
    return figures


def versions() -> list[str]:
    """Every version of the schema after the baseline, in order."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.iterate_revisions("head", BASELINE)][::-1]


def _migrate(url: str, entries: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with closing(Database(url)) as place:
        with place.write() as connection:
            upgrade_to(connection, BASELINE)
            insert_entries(connection, entries)
            seal_entries(connection)
        for version in versions():
            with _timed(figures, f"to_{version}_s"), place.write() as connection:
                upgrade_to(connection, version)
    with Ledger.open(url) as ledger, _timed(figures, "verify_s"):
        found = ledger.verify([ledger.checkpoint()], lambda done, total: None)
        figures["verified"] = 0 if found.mismatch else found.entries
    return figures


def _back_up(url: str, backend: str, folder: Path) -> dict[str, float]:
    """Of the migrated ledger: a backup, and its restore into another database of the same kind."""
    figures: dict[str, float] = {}
    file = folder / "ledger.backup"
    with closing(Database(url)) as place, _timed(figures, "backup_s"):
        write_backup(place, file, lambda step, done, total: None, now=1)
    figures["backup_mb"] = round(file.stat().st_size / 1e6, 1)
    with (
        database(backend, folder, empty=True) as target,
        closing(Database(target)) as place,
        _timed(figures, "restore_s"),
    ):
        restored = restore_backup(place, file, lambda step, done, total: None)
    figures["restored"] = restored.tables["entry"].rows
    return figures


@contextmanager
def _timed(figures: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    figures[name] = round(time.perf_counter() - started, 2)
