import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from scoring.base.errors import LedgerVersionUnknown
from service.ledger.database import migrations
from service.ledger.database.database import Database
from service.ledger.database.schema import VERSION_TABLE, SchemaState, upgrade
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, exposure, identity, status, violation
from tests.helpers.databases import schema_state
from tests.helpers.ledgers import verify
from tests.helpers.shells import shell_of

NEXT = """
from alembic import op
import sqlalchemy as sa

revision, down_revision, writable_by = "0102", "0101", "0101"

def upgrade():
    op.add_column("entry", sa.Column("later", sa.BigInteger))
"""


def test_the_next_migration_carries_the_baseline_over(
    url: str, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [violation("v1"), exposure(), identity()])
        checkpoint = ledger.seals.last()
    shutil.copytree(Path(migrations.__file__).parent, tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / "v0102_later.py").write_text(NEXT)
    # The next release has the next migration in its own folder.
    monkeypatch.setattr("service.ledger.database.schema.MIGRATIONS", tmp_path / "migrations")
    assert schema_state(url) is SchemaState.BEHIND
    with pytest.raises(LedgerVersionUnknown, match=r"older .* sellertrust ledger upgrade"):
        Ledger.open(url, create=True)
    upgrade(url)
    upgrade(url)
    monkeypatch.undo()
    assert schema_state(url) is SchemaState.CURRENT
    with Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [status("v1")])
        found = verify(ledger, checkpoint)
    assert (found.entries, found.mismatch) == (4, None)


def test_of_processes_that_upgrade_at_once_one_does(empty_url: str, tmp_path: Path) -> None:
    shell = shell_of(tmp_path / "data", database_url=empty_url)
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(lambda _: shell("ledger", "upgrade")[1], range(4)))
    assert said == ["the ledger's database is up to date\n"] * 4
    assert schema_state(empty_url) is SchemaState.CURRENT
    with closing(Database(empty_url)) as place, place.read() as connection:
        assert connection.execute(text(f"SELECT count(*) FROM {VERSION_TABLE}")).scalar() == 1
