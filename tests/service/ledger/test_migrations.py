"""A short run of `./dev bench migrations`, the frozen ledgers, and processes that upgrade at once."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from service.ledger.database import Database
from service.ledger.schema import VERSION_TABLE, SchemaState, schema_state, upgrade
from service.ledger.store import Ledger
from tests.bench.migrations import run, versions
from tests.frozen import thaw
from tests.frozen import versions as releases
from tests.service.shells import shell_of

ENTRIES = 20_000


def test_every_migration_carries_a_large_ledger_over_and_it_verifies() -> None:
    """From the oldest schema to the present one, step by step, with a backup and its restore at the end."""
    figures = run(print, ENTRIES)
    for name in ("sqlite", "postgres"):
        assert [f"{name}.to_{version}_s" in figures for version in versions()] == [True] * len(versions())
        assert (figures[f"{name}.verified"], figures[f"{name}.restored"]) == (ENTRIES, ENTRIES)


@pytest.mark.parametrize("release", releases())
def test_the_ledger_of_every_release_is_upgraded_and_verifies(tmp_path: Path, release: str) -> None:
    """As that release left it; nothing is lost on the way."""
    url = thaw(release, tmp_path / "ledger.db")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as frozen:
        (entries,) = frozen.execute("SELECT count(*) FROM entry").fetchone()
    upgrade(url)
    with Ledger.open(url) as ledger:
        found = ledger.verify([ledger.checkpoint()], lambda done, total: None)
    assert (found.entries, found.mismatch) == (entries, None)


def test_of_processes_that_upgrade_at_once_one_does(empty_url: str, tmp_path: Path) -> None:
    """The others wait for it and find it done: every one ends well, and every step was taken once."""
    shell = shell_of(tmp_path / "data", database_url=empty_url)
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(lambda _: shell("db", "upgrade")[1], range(4)))
    assert said == ["the ledger's database is up to date\n"] * 4
    assert schema_state(empty_url) is SchemaState.CURRENT
    with closing(Database(empty_url)) as place, place.read() as connection:
        assert connection.execute(text(f"SELECT count(*) FROM {VERSION_TABLE}")).scalar() == 1
