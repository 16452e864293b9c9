import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, exc, insert, inspect, make_url, text

from scoring.base.errors import ConfigurationWrong, LedgerUnavailable, LedgerVersionUnknown
from service.ledger.database import migrations
from service.ledger.database.database import RELAXED, Database
from service.ledger.database.schema import (
    BOOKKEEPING,
    COMPATIBILITY_TABLE,
    VERSION_TABLE,
    SchemaState,
    newest_version,
    upgrade,
)
from service.ledger.database.tables import ENTRY, TableBase
from service.ledger.queries.entries import EXPORT_COLUMNS
from service.ledger.records import Position
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, exposure, identity, status, violation
from tests.helpers.databases import database, postgresql, schema_state, writing
from tests.helpers.ledgers import find_violation, verify
from tests.helpers.shells import shell_of

_FIRST = (1, "m", "s", "v", 1, 5, 6, 7, "v", "v", 1, 3, 1, None, None, None, None, None, None, "{}", b"\0" * 32)
_FIRST += (None, None, None, None, None)
VALID: dict[str, Any] = dict(zip(ENTRY.c.keys(), _FIRST, strict=True))
STATUS = VALID | {"entry_id": "t", "kind": 2, "incident": None, "category": None, "severity": None, "status": 3}
EXPOSURE = VALID | {"kind": 3, "violation": None, "occur_time": 0, "exposure_day": 0, "product_category": ""}
EXPOSURE |= {"revision": 0, "settled_orders": 5, "service_failures": 5}
IDENTITY = VALID | {"kind": 4, "violation": None, "identity_level": 1}
WRONG = {
    "entry_sequence": [VALID | {"sequence": 0}],
    "entry_occur_time": [VALID | {"occur_time": -1}, VALID | {"occur_time": 8}],
    "entry_report_time": [VALID | {"report_time": -1}, VALID | {"report_time": 8}],
    "entry_digest": [VALID | {"digest": b"\0" * 31}],
    "entry_kind": [VALID | {"kind": 0}],
    "entry_violation": [
        *(VALID | {name: None} for name in ("violation", "incident", "category", "severity", "status")),
        VALID | {"violation": "w"},
        VALID | {"status": 2},
    ],
    "entry_status": [
        STATUS | {"violation": None},
        *(STATUS | {"status": number} for number in (1, 9)),
        STATUS | {"severity": 1},
        STATUS | {"status": 7},
    ],
    "entry_exposure": [
        *(EXPOSURE | {name: None} for name in ("exposure_day", "product_category", "revision")),
        *(EXPOSURE | {name: None} for name in ("settled_orders", "service_failures")),
        EXPOSURE | {"exposure_day": 1},
        EXPOSURE | {"revision": -1},
        EXPOSURE | {"service_failures": -1},
        EXPOSURE | {"service_failures": 6},
    ],
    "entry_identity": [IDENTITY | {"identity_level": level} for level in (None, 0, 5)],
    "entry_outcome": [VALID | {"kind": kind, "status": None, "target": "t"} for kind in (5, 17, 18, 19)],
    "entry_target": [VALID | {"kind": kind} for kind in (12, 13, 18, 19)],
    "entry_units": [VALID | {"units": -1}],
    "entry_category": [VALID | {"category": 0}, VALID | {"category": 9}],
    "entry_severity": [VALID | {"severity": 0}, VALID | {"severity": 5}],
}


def test_migrations_make_the_columns_that_queries_name(url: str) -> None:
    with writing(url) as connection:
        inspector = inspect(connection)
        assert {*inspector.get_table_names()} == {*TableBase.metadata.tables, *BOOKKEEPING}
        for name, table in TableBase.metadata.tables.items():
            made = [(c["name"], c["type"].python_type, c["nullable"]) for c in inspector.get_columns(name)]
            assert made == [(column.name, column.type.python_type, column.nullable) for column in table.c]
            assert inspector.get_pk_constraint(name)["constrained_columns"] == table.primary_key.columns.keys()


def test_each_check_has_a_row_that_it_refuses(url: str) -> None:
    with writing(url) as connection:
        assert {check["name"] for check in inspect(connection).get_check_constraints("entry")} == WRONG.keys()


@pytest.mark.long
def test_the_checks_repeat_the_rules_of_the_domain(url: str) -> None:
    for name, rows in WRONG.items():
        for row in rows:
            with pytest.raises(exc.IntegrityError, match=name), writing(url) as connection:
                connection.execute(insert(ENTRY).values(**row))
    for sequence, row in enumerate((VALID, STATUS, EXPOSURE, IDENTITY), 1):
        with writing(url) as connection:  # else the rows above may fail by another fault
            connection.execute(insert(ENTRY).values(**row | {"sequence": sequence, "marketplace": f"m{sequence}"}))


CHANGES = [
    "UPDATE entry SET seller = 'x' WHERE sequence = 1",
    "UPDATE entry SET content = content",
    "DELETE FROM entry WHERE sequence = 2",
    "DELETE FROM entry",
    "UPDATE source_position SET next_position = 9",
    "DELETE FROM seal",
]
CHANGES_OF = {
    "sqlite": [
        *CHANGES,
        "INSERT OR REPLACE INTO entry SELECT * FROM entry WHERE sequence = 1",
        "REPLACE INTO entry SELECT 9, marketplace, seller, entry_id, kind, occur_time, report_time, record_time,"
        " violation, incident, category, severity, status, exposure_day, product_category, revision, settled_orders,"
        " service_failures, identity_level, content, digest, NULL, NULL, NULL, NULL, NULL FROM entry WHERE sequence = 1",
        "UPDATE OR REPLACE entry SET sequence = 2 WHERE sequence = 1",
    ],
    "postgresql": [
        *CHANGES,
        "TRUNCATE entry",
        "INSERT INTO entry SELECT * FROM entry ON CONFLICT (sequence) DO UPDATE SET seller = 'x'",
        "MERGE INTO entry USING entry AS other ON entry.sequence = other.sequence WHEN MATCHED THEN DELETE",
    ],
}


def test_what_is_recorded_cannot_be_changed_or_deleted(url: str, backend: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        batch = [violation("v1"), status("v1"), exposure(), identity()]
        ledger.append(MARKET, batch, position=Position("orders", 0, 5))
        before = list(ledger.entries.export(MARKET, ledger.cut()))
        for change in CHANGES_OF[backend]:
            with pytest.raises(exc.IntegrityError, match="append-only"), writing(url) as connection:
                connection.execute(text(change))
        assert list(ledger.entries.export(MARKET, ledger.cut())) == before


def test_an_unknown_way_to_insert_twice_is_refused_by_the_keys(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [exposure(entry_id="a"), violation("v1"), status("v1")])
    copy = (
        "INSERT INTO entry SELECT {}, marketplace, seller, {}, kind, occur_time, report_time, record_time, violation,"
    )
    copy += " incident, category, severity, status, exposure_day, product_category, {}, settled_orders,"
    copy += " service_failures, identity_level, content, digest, NULL, NULL, NULL, NULL, NULL FROM entry WHERE kind = 3"
    entries = [("1", "'b'", "1"), ("9", "entry_id", "1"), ("9", "'b'", "revision")]
    key = "INSERT INTO seller_key SELECT 'another', marketplace, seller, key FROM seller_key"
    for statement in (*(copy.format(*changed) for changed in entries), key):
        with pytest.raises(exc.IntegrityError, match=r"(?i)unique"), writing(url) as connection:
            connection.execute(text(statement))


def test_ids_are_compared_and_sorted_by_their_bytes(tmp_path: Path) -> None:
    with database("postgresql", tmp_path) as url, writing(url) as connection:
        found = connection.execute(
            text(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'entry' AND collation_name = 'C'"
            )
        )
        ids = {
            "marketplace",
            "seller",
            "entry_id",
            "violation",
            "incident",
            "product_category",
            "target",
            "notifier",
            "principal",
        }
        assert set(found.scalars()) == ids


def test_an_upgrade_makes_an_empty_database_a_ledger_once(empty_url: str) -> None:
    assert schema_state(empty_url) is SchemaState.ABSENT
    upgrade(empty_url)
    assert schema_state(empty_url) is SchemaState.CURRENT
    with Ledger.open(empty_url) as ledger:
        ledger.append(MARKET, [violation("v1")])
    upgrade(empty_url)
    with Ledger.open(empty_url) as ledger:
        assert ledger.last()[0] == 1


def test_asking_for_the_state_does_not_make_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    assert schema_state(f"sqlite:///{file}") is SchemaState.ABSENT
    with pytest.raises(LedgerVersionUnknown, match="sellertrust ledger upgrade"):
        Ledger.open(f"sqlite:///{file}")
    assert not file.exists()


@pytest.mark.long
def test_an_upgrade_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    with writing(empty_url) as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("CREATE TABLE other (x)"))
            connection.execute(text("CREATE TRIGGER entry_no_delete DELETE ON other BEGIN SELECT 1; END"))
        else:
            body = "RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
            connection.execute(text(f"CREATE FUNCTION entry_append_only() {body}"))
    with pytest.raises((exc.DBAPIError, LedgerUnavailable)):
        upgrade(empty_url)
    assert schema_state(empty_url) is SchemaState.ABSENT
    with writing(empty_url) as connection:
        assert not set(inspect(connection).get_table_names()) & {*TableBase.metadata.tables, *BOOKKEEPING}


def newer_release(connection: Connection, writable_by: str | None) -> None:
    connection.execute(text("ALTER TABLE entry ADD COLUMN later BIGINT"))
    connection.execute(text("CREATE TABLE later_table (x INTEGER PRIMARY KEY)"))
    connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    if writable_by is not None:
        connection.execute(
            text(f"INSERT INTO {COMPATIBILITY_TABLE} VALUES ('9999', :writable_by)"), {"writable_by": writable_by}
        )


def test_a_newer_schema_that_says_so_is_written_by_this_release(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger:
        ledger.append(MARKET, [violation("v1")])
        with writing(url) as connection:
            newer_release(connection, newest_version())
        assert schema_state(url) is SchemaState.CURRENT
        ledger.append(MARKET, [violation("v2")])
    with Ledger.open(url, create=True, serving=True, clock=clock) as ledger:
        ledger.append(MARKET, [status("v1"), exposure(), identity()])
        assert [one.sequence for one in ledger.entries.list(MARKET, ledger.cut())] == [1, 2, 3, 4, 5]
        exported = [row for rows in ledger.entries.export(MARKET, ledger.cut()) for row in rows]
        assert [len(row) for row in exported] == [len(EXPORT_COLUMNS)] * 5
        assert find_violation(ledger, "v1").entries == ("v1", "v1-confirm")
        found = verify(ledger, ledger.seals.last())
        assert (found.entries, found.mismatch) == (5, None)
    upgrade(url)
    with writing(url) as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "9999"


@pytest.mark.parametrize("writable_by", [None, "9998", "9999"])
def test_a_newer_schema_that_does_not_say_so_is_refused(url: str, writable_by: str | None) -> None:
    with writing(url) as connection:
        newer_release(connection, writable_by)
    assert schema_state(url) is SchemaState.UNKNOWN
    with pytest.raises(
        LedgerVersionUnknown, match=f"newer than this release, which knows it up to {newest_version()}; install"
    ):
        Ledger.open(url, create=True)
    with pytest.raises(LedgerVersionUnknown, match="newer"):
        upgrade(url)
    assert schema_state(url) is SchemaState.UNKNOWN


def test_each_schema_states_once_who_may_write_it(url: str) -> None:
    stated = f"SELECT version, writable_by FROM {COMPATIBILITY_TABLE} ORDER BY version"
    with writing(url) as connection:
        before = connection.execute(text(stated)).all()
    assert before[0] == ("0100", "0100")
    assert before[-1][0] == newest_version()
    assert all(writable_by <= version for version, writable_by in before)
    upgrade(url)
    for change in (f"UPDATE {COMPATIBILITY_TABLE} SET writable_by = '0099'", f"DELETE FROM {COMPATIBILITY_TABLE}"):
        with pytest.raises(exc.IntegrityError, match="append-only"), writing(url) as connection:
            connection.execute(text(change))
    with writing(url) as connection:
        assert connection.execute(text(stated)).all() == before


@pytest.mark.parametrize(
    "wrong", ["", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/d", "postgresql//u:secret@h", "ledger.db"]
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(wrong: str) -> None:
    with pytest.raises(ConfigurationWrong, match=r"write sqlite:///ledger\.db or postgresql://") as caught:
        Ledger.open(wrong)
    assert "secret" not in str(caught.value)


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


def with_options(url: str, **options: str) -> str:
    text = " ".join(f"-c {name.replace('__', '.')}={value}" for name, value in options.items())
    return make_url(url).update_query_dict({"options": text}).render_as_string(hide_password=False)


@contextmanager
def strict(url: str, **settings: str) -> Iterator[None]:
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
