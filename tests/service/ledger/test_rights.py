from pathlib import Path

import grpc
import psycopg
import pytest
from sqlalchemy import exc, make_url, text

from scoring.base.errors import ConfigurationWrong, ErasureRefused
from service.ledger.database.database import Database
from service.ledger.database.rights import KEYS, grant
from service.ledger.database.schema import BOOKKEEPING, upgrade
from service.ledger.database.tables import TableBase
from service.ledger.records import Position
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, status, violation
from tests.helpers.databases import QUOTED, ROLE, owned_database
from tests.helpers.ledgers import verify
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET as SERVED
from tests.helpers.servers import exposure, identity, running_server

TABLES = sorted(TableBase.metadata.tables)
NAMED = "lacks rights.*sellertrust ledger upgrade --role ROLE"


@pytest.mark.long
def test_a_server_works_under_its_role_alone(tmp_path: Path) -> None:
    with owned_database(tmp_path) as (url, role_url):
        grant(url, ROLE)
        with running_server(tmp_path, database_url=role_url) as running, running.client() as client:
            client.append_entries(SERVED, [identity("i1", "s1"), exposure("x1", "s1")])
            assert client.get_trust_score(SERVED, "s1").seller.endswith("s1")
            running.ledger.positions.advance(Position("kafka://broker/facts", 0, 5))
            assert running.ledger.positions.find("kafka://broker/facts", 0) == 5
            assert verify(running.ledger, running.ledger.seals.last()).mismatch is None
        with psycopg.connect(role_url, autocommit=True) as connection:
            for table in [*TABLES, *BOOKKEEPING]:
                column = connection.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", (table,)
                ).fetchone()
                assert column is not None
                for statement in (
                    f"UPDATE {table} SET {column[0]} = {column[0]}",
                    f"DELETE FROM {table}",
                    f"TRUNCATE {table}",
                    f"DROP TABLE {table}",
                    f"ALTER TABLE {table} DISABLE TRIGGER ALL",
                    "CREATE TABLE other (x int)",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(statement.encode())
            for table in BOOKKEEPING:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"INSERT INTO {table} DEFAULT VALUES".encode())


def test_the_rights_are_those_and_a_grant_takes_others_back(tmp_path: Path) -> None:
    with owned_database(tmp_path) as (url, _):
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(f"GRANT ALL ON entry, {', '.join(BOOKKEEPING)} TO {QUOTED}".encode())
        for _ in range(2):
            grant(url, ROLE)
            with psycopg.connect(url) as owner:
                listed = owner.execute(
                    "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = %s",
                    (ROLE,),
                ).fetchall()
            reads = {(table, "SELECT") for table in (*TABLES, *BOOKKEEPING)}
            assert set(listed) == reads | {(table, "INSERT") for table in TABLES}


def test_an_eraser_may_delete_keys_alone(tmp_path: Path) -> None:
    with owned_database(tmp_path) as (url, role_url):
        grant(url, ROLE)
        with Ledger.open(role_url, clock=Clock()) as ledger:
            ledger.append(MARKET, [violation("v1"), status("v1")])
            with pytest.raises(ErasureRefused, match="--eraser ROLE"):
                ledger.erase(MARKET, "s1", actor="officer", entry_id="e1")
            assert ledger.last()[0] == 2
            grant(url, ROLE, eraser=ROLE)
            ledger.erase(MARKET, "s1", actor="officer", entry_id="e1")
            assert ledger.entries.list(MARKET, ledger.cut())[1].erased
            assert verify(ledger, ledger.seals.last()).mismatch is None
        with psycopg.connect(role_url) as eraser:
            found = eraser.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
                " AND has_table_privilege(oid, 'DELETE')"
            ).fetchall()
        assert found == [(KEYS,)]


@pytest.mark.long
@pytest.mark.parametrize("taken", ["SELECT ON ledger_version", "SELECT ON entry", "USAGE ON SCHEMA public"])
def test_a_role_that_lacks_a_right_is_told_the_command(tmp_path: Path, taken: str) -> None:
    with owned_database(tmp_path) as (url, role_url):
        with pytest.raises(ConfigurationWrong, match=NAMED):
            Ledger.open(role_url)
        grant(url, ROLE)
        Ledger.open(role_url, serving=True).close()
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(f"REVOKE {taken} FROM {QUOTED}, PUBLIC".encode())
        with pytest.raises(ConfigurationWrong, match=NAMED):
            Ledger.open(role_url, serving=True)


def test_who_only_reads_needs_no_right_to_append(tmp_path: Path) -> None:
    with owned_database(tmp_path) as (url, role_url):
        grant(url, ROLE)
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(f"REVOKE INSERT ON {', '.join(TABLES)} FROM {QUOTED}".encode())
        with Ledger.open(role_url) as ledger:
            assert verify(ledger).mismatch is None
            with pytest.raises(ConfigurationWrong, match=NAMED):
                ledger.append(MARKET, [violation("v1")])
        with pytest.raises(ConfigurationWrong, match=NAMED):
            Ledger.open(role_url, serving=True)


def test_a_grant_that_would_bound_nothing_is_refused(tmp_path: Path) -> None:
    with owned_database(tmp_path) as (url, role_url):
        with pytest.raises(ConfigurationWrong, match="superuser"):
            grant(url, str(make_url(url).username))
        with pytest.raises(ConfigurationWrong, match="CREATE ROLE"):
            grant(url, "nobody")
        with pytest.raises(ConfigurationWrong, match="owner of its tables"):
            grant(role_url, ROLE)
    file = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(file)
    with pytest.raises(ConfigurationWrong, match="SQLite has no roles"):
        grant(file, ROLE)


def test_the_owner_may_truncate_no_table(tmp_path: Path) -> None:
    with owned_database(tmp_path) as (url, _):
        for table in sorted({*TABLES, BOOKKEEPING[1]} - {KEYS}):
            place = Database(url)
            with pytest.raises(exc.IntegrityError, match="append-only"), place.write() as connection:
                connection.execute(text(f"TRUNCATE {table}"))
            place.close()


def test_lost_rights_are_not_shown_to_callers(tmp_path: Path) -> None:
    with owned_database(tmp_path) as (url, role_url):
        grant(url, ROLE)
        with running_server(tmp_path, database_url=role_url) as running, running.client() as client:
            with psycopg.connect(url, autocommit=True) as owner:
                owner.execute(f"REVOKE INSERT ON entry FROM {QUOTED}".encode())
            error = refusal(client.append_entries, SERVED, [identity("i1", "s1")])
            assert error.code is grpc.StatusCode.INTERNAL
            assert "grant" not in str(error)
            assert "sellertrust ledger upgrade" in running.log.getvalue()
