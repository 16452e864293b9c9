import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from scoring.base.errors import LedgerUnavailable
from service.ledger.database import database
from service.ledger.database.schema import upgrade
from service.ledger.records import Cut
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, violation
from tests.helpers.databases import database as new_database
from tests.helpers.databases import postgresql, schema_state

READS: dict[str, Callable[[Ledger], object]] = {
    "ping": lambda ledger: ledger.database.ping(),
    "last": Ledger.last,
    "cut": Ledger.cut,
    "fact_table": lambda ledger: ledger.facts.table(MARKET, ["s1"], Cut(1, 1, 1)),
    "fact_counts": lambda ledger: ledger.facts.count(MARKET, ["s1"]),
    "append": lambda ledger: ledger.append(MARKET, [violation("v2")]),
}


def assert_opaque(error: LedgerUnavailable, url: str) -> None:
    words = ("select", "insert", "sqlite", "psycopg", "postgres", "traceback", "s1", str(make_url(url).database))
    assert [word for word in words if word in str(error).lower()] == []
    assert error.reason == "LEDGER_UNAVAILABLE"


@contextmanager
def nobody_may_connect(url: str) -> Iterator[None]:
    """End every connection to a PostgreSQL database and refuse new ones, as a restart does."""
    name = make_url(url).database
    with psycopg.connect(postgresql(), autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


def test_a_postgresql_that_went_away_and_came_back(tmp_path: Path, clock: Clock) -> None:
    with new_database("postgresql", tmp_path) as url, Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [violation("v1")])
        with nobody_may_connect(url):
            for read in READS.values():
                with pytest.raises(LedgerUnavailable) as caught:
                    read(ledger)
                assert_opaque(caught.value, url)
        for read in READS.values():
            read(ledger)


def test_connections_that_a_restart_ended_are_replaced_unseen(tmp_path: Path, clock: Clock) -> None:
    with new_database("postgresql", tmp_path) as url, Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [violation("v1")])
        with nobody_may_connect(url):
            pass
        ledger.append(MARKET, [violation("v2")])
        assert ledger.last()[0] == 2


@pytest.mark.parametrize("call", [Ledger.open, schema_state, upgrade])
def test_a_postgresql_that_is_not_there(tmp_path: Path, call: Callable[[str], object]) -> None:
    url = f"postgresql://u:secret@/db-7?host={tmp_path}"
    with pytest.raises(LedgerUnavailable) as caught:
        call(url)
    assert_opaque(caught.value, url)
    assert "secret" not in str(caught.value)
    assert database.outage_of(caught.value) == "it refuses connections"


def test_a_held_lock_is_waited_for_and_given_up(url: str, backend: str, clock: Clock) -> None:
    short = {"sqlite": {"timeout": "0.2"}, "postgresql": {"options": "-c statement_timeout=200"}}[backend]
    hurried = make_url(url).update_query_dict(short).render_as_string(hide_password=False)
    with closing(database.Database(url)) as holder, Ledger.open(hurried, clock=clock) as ledger:
        ledger.append(MARKET, [violation("v1")])
        with holder.write():
            started = time.monotonic()
            with pytest.raises(LedgerUnavailable) as caught:
                ledger.append(MARKET, [violation("v2")])
            assert 0.15 < time.monotonic() - started < 5
            assert_opaque(caught.value, url)
            is_held = "another session holds its lock" if backend == "sqlite" else "it gives no answer in time"
            assert database.outage_of(caught.value) == is_held
            assert ledger.last()[0] == 1
        assert [done.sequence for done in ledger.append(MARKET, [violation("v2")])] == [2]


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'no such folder' / 'ledger.db'}"
    with pytest.raises(LedgerUnavailable) as caught:
        Ledger.open(url, create=True)
    assert_opaque(caught.value, url)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(b"not a database, " * 1_000)
    for call in (Ledger.open, upgrade):
        with pytest.raises(LedgerUnavailable) as caught:
            call(f"sqlite:///{file}")
        assert_opaque(caught.value, f"sqlite:///{file}")
        assert database.outage_of(caught.value) == "its file cannot be used"
    assert file.read_bytes() == b"not a database, " * 1_000


@pytest.mark.long
def test_a_full_disk_is_named_to_the_operator(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger.open(url, create=True).close()
    entries = [violation(f"v-{number}") for number in range(5_000)]
    with Ledger.open(url) as ledger:
        ledger.database.maintain("PRAGMA max_page_count = 1")
        with pytest.raises(LedgerUnavailable) as caught:
            ledger.append(MARKET, entries)
    assert database.outage_of(caught.value) == "its disk is full"
    assert "disk" in str(caught.value)


def test_a_closed_ledger_does_not_answer(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1")])
    ledger.close()
    for read in READS.values():
        with pytest.raises(LedgerUnavailable, match="closed"):
            read(ledger)


def test_sqlite_does_not_trade_durability_for_speed(tmp_path: Path) -> None:
    settings = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "recursive_triggers": 1}
    with closing(database.Database(f"sqlite:///{tmp_path / 'ledger.db'}")) as place:
        for connect, read_only in ((place.write, 0), (place.read, 1)):
            with connect() as connection:
                for name, value in (settings | {"query_only": read_only}).items():
                    assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value, name
