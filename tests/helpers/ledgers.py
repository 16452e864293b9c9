from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, text

from service.ledger.database.database import Database
from service.ledger.records import ViolationView
from service.ledger.seals.backup import BackupManifest, restore_backup, write_backup
from service.ledger.seals.verifying import VerificationReport
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, NOW

SQLITE_TRIGGERS = ("entry_no_update", "entry_no_delete", "seal_no_update", "seal_no_delete")


@contextmanager
def owner(url: str) -> Iterator[Connection]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            if url.startswith("sqlite"):
                for name in SQLITE_TRIGGERS:
                    connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
            else:
                connection.execute(text("SET session_replication_role = replica"))
            yield connection
    finally:
        engine.dispose()


def verify(ledger: Ledger, *checkpoints: tuple[int, bytes]) -> VerificationReport:
    return ledger.seals.verify(checkpoints, lambda _done, _total: None)


def find_violation(ledger: Ledger, name: str = "v1") -> ViolationView:
    return ledger.violations.find(MARKET, name, ledger.cut())


def ids(ledger: Ledger) -> list[str]:
    return [recorded.entry.entry_id for recorded in ledger.entries.list(MARKET, ledger.cut(), limit=20_000)]


def silent(_step: str, _done: int, _total: int) -> None:
    """Show no progress."""


def back_up(url: str, file: Path, **options: Any) -> BackupManifest:
    with closing(Database(url)) as place:
        return write_backup(place, file, options.pop("progress", silent), now=NOW, **options)


def restore(url: str, file: Path) -> BackupManifest:
    with closing(Database(url)) as place:
        return restore_backup(place, file, silent)
