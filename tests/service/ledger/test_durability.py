from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from scoring.base.errors import ConfigurationWrong
from service.ledger.database.database import RELAXED, Database
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, violation
from tests.helpers.databases import database, postgresql


def with_options(url: str, **options: str) -> str:
    text = " ".join(f"-c {name.replace('__', '.')}={value}" for name, value in options.items())
    return make_url(url).update_query_dict({"options": text}).render_as_string(hide_password=False)


@contextmanager
def strict(url: str, **settings: str) -> Iterator[None]:
    """Remove the database's mark for tests; apply `settings`."""
    name = make_url(url).database
    with psycopg.connect(postgresql(), autocommit=True) as server:
        for setting, value in ({RELAXED: "''"} | settings).items():
            server.execute(f"ALTER DATABASE {name} SET {setting} = {value}".encode())
        yield


def test_commits_that_a_crash_can_undo_are_refused(tmp_path: Path) -> None:
    with database("postgresql", tmp_path) as url, strict(url, synchronous_commit="off"):
        with Ledger.open(url) as ledger:
            with pytest.raises(ConfigurationWrong, match=r"synchronous_commit and fsync = off: .* could be lost"):
                ledger.append(MARKET, [violation("v1")])
            assert ledger.last()[0] == 0
        with pytest.raises(ConfigurationWrong, match="could be lost"):
            upgrade(url)
        with pytest.raises(ConfigurationWrong, match="could be lost"):
            Ledger.open(url, serving=True)


@pytest.mark.parametrize("level", ["on", "local", "remote_write", "remote_apply"])
def test_whatever_waits_for_a_disk_is_allowed(tmp_path: Path, level: str) -> None:
    with (
        database("postgresql", tmp_path) as url,
        strict(url, synchronous_commit=level),
        Ledger.open(url) as ledger,
        pytest.raises(ConfigurationWrong, match="PostgreSQL has fsync = off"),
    ):
        ledger.append(MARKET, [violation("v1")])


def test_a_session_that_turns_it_off_is_caught(tmp_path: Path) -> None:
    with database("postgresql", tmp_path) as url, Ledger.open(url) as ledger:
        ledger.append(MARKET, [violation("v1")])
        with ledger.database.write() as connection:
            connection.exec_driver_sql(f"SET {RELAXED} = ''")
        with pytest.raises(ConfigurationWrong, match="could be lost"):
            ledger.append(MARKET, [violation("v2")])


def test_a_database_for_tests_says_so_and_the_operator_is_told(tmp_path: Path) -> None:
    with database("postgresql", tmp_path) as url, strict(url):
        relaxed = with_options(url, sellertrust__durability="relaxed", work_mem="7MB")
        with Ledger.open(relaxed, serving=True) as ledger:
            ledger.append(MARKET, [violation("v1")])
            assert ledger.database.about()["fsync"] == "off"
            assert [caution for caution in ledger.list_cautions() if "can be lost" in caution]
        with closing(Database(relaxed)) as place, place.read() as connection:
            found = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in ("work_mem", "statement_timeout")]
            assert found == ["7MB", "30s"]


def test_a_sqlite_ledger_is_as_safe_as_its_file(tmp_path: Path) -> None:
    with database("sqlite", tmp_path) as url, Ledger.open(url) as ledger:
        assert ledger.database.about()["synchronous"] == "full"
        assert not [caution for caution in ledger.list_cautions() if "lost" in caution]
