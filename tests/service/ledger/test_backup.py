import threading
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from scoring.base.enums import Action
from scoring.base.errors import BackupRefused, LedgerVersionUnknown
from service.ledger.database.database import Database
from service.ledger.database.rights import KEYS
from service.ledger.database.schema import (
    VERSION_TABLE,
    SchemaState,
)
from service.ledger.database.tables import TableBase
from service.ledger.seals.backup import name_member
from service.ledger.seals.restore import rehearse, restore_backup
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows
from tests.helpers.builders import MARKET, Clock, confirmed, exposure, identity, status, violation
from tests.helpers.databases import BACKENDS, database, schema_state
from tests.helpers.ledgers import back_up, restore, silent, verify

STRANGE = "línea \\ 中文 😀 ' \" \u2028 \\N \\x41"
SELLERS = [f"s{n}" for n in range(9)]


def fill(ledger: Ledger, batches: int = 60) -> None:
    for n in range(batches):
        seller = SELLERS[n % len(SELLERS)]
        batch = [
            violation(f"v{n}", seller),
            exposure(15_000 + n, seller),
            identity(f"i{n}", seller, attributes={"channel": "shop"}),
        ]
        ledger.append(MARKET, batch)
        if n % 3 == 0:
            ledger.append(MARKET, [status(f"v{n}", reason=STRANGE), status(f"v{n}", Action.OVERTURN)])
        ledger.append("other", [confirmed(f"v{n}", seller)])


def answers(url: str) -> Any:
    with Ledger.open(url, clock=Clock()) as ledger:
        cut = ledger.cut()
        entries = [ledger.entries.list(market, cut, limit=10_000) for market in (MARKET, "other")]
        facts = fact_rows(ledger, *SELLERS, cut=cut)
        export = [row for rows in ledger.entries.export(MARKET, cut) for row in rows]
        violations = ledger.violations.list(MARKET, cut, limit=1_000)
        verified = verify(ledger, ledger.seals.last())
        return cut, entries, facts, export, violations, verified, ledger.seals.last(), ledger.last()


@pytest.fixture
def filled(url: str, clock: Clock) -> str:
    with Ledger.open(url, clock=clock) as ledger:
        fill(ledger)
    return url


@pytest.mark.long
@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("empty", [True, False], ids=["absent", "empty"])
def test_a_restored_ledger_gives_the_same_answers(filled: str, tmp_path: Path, target: str, empty: bool) -> None:
    file = tmp_path / "ledger.backup"
    made = back_up(filled, file)
    assert made.tables[KEYS].rows > 0
    assert file.stat().st_mode & 0o077 == 0
    with database(target, tmp_path, empty=empty) as url:
        assert restore(url, file) == made
        assert answers(url) == answers(filled)
        with Ledger.open(url, clock=Clock()) as restored:
            restored.append(MARKET, [violation("later")])
            later = verify(restored, (made.sequence, bytes.fromhex(made.chain)))
            assert later.mismatch is None
        again = tmp_path / "again.backup"
        assert back_up(url, again).tables["entry"].rows == made.tables["entry"].rows + 1
    assert made.tables.keys() == TableBase.metadata.tables.keys()


def test_a_backup_of_an_empty_ledger_can_be_restored(url: str, tmp_path: Path) -> None:
    assert back_up(url, tmp_path / "backup").sequence == 0
    with database("sqlite", tmp_path, empty=True) as target:
        restore(target, tmp_path / "backup")
        assert answers(target) == answers(url)


def test_of_two_backups_to_one_file_the_second_is_refused(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "ledger.backup"
    bytes_of_first: list[bytes] = []

    def meanwhile(*_: object) -> None:
        if not bytes_of_first:
            back_up(filled, file)
            bytes_of_first.append(file.read_bytes())

    with pytest.raises(BackupRefused, match="exists already, and a backup is never overwritten"):
        back_up(filled, file, progress=meanwhile, without_keys=True)
    assert [file.read_bytes()] == bytes_of_first
    assert [path.name for path in tmp_path.glob("*.partial")] == []


@pytest.mark.long
def test_a_backup_while_servers_append_is_of_one_moment(filled: str, tmp_path: Path, clock: Clock) -> None:
    done, written = threading.Event(), [0]

    def append() -> None:
        with Ledger.open(filled, clock=clock) as ledger:
            while not done.is_set():
                written[0] += 1
                ledger.append(MARKET, [identity(f"meanwhile-{written[0]}-{n}") for n in range(5)])

    def hurry_on(step: str, count: int, total: int) -> None:
        seen = written[0]
        while written[0] < seen + 3:
            done.wait(0.001)

    with Ledger.open(filled, clock=clock) as ledger:
        acknowledged = ledger.last()[0]
    writer = threading.Thread(target=append)
    writer.start()
    try:
        made = back_up(filled, tmp_path / "backup", progress=hurry_on)
    finally:
        done.set()
        writer.join()
    with database("sqlite", tmp_path, empty=True) as target:
        restore(target, tmp_path / "backup")
        with Ledger.open(target) as ledger, Ledger.open(filled) as whole:
            assert acknowledged <= ledger.last()[0] == made.sequence < whole.last()[0]
            assert verify(whole, ledger.seals.last()).mismatch is None


@pytest.mark.long
def test_a_ledger_with_anything_in_it_is_never_restored_into(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(filled, file)
    before = answers(filled)
    with pytest.raises(BackupRefused, match=r"not empty \(entry has rows\)"):
        restore(filled, file)
    assert answers(filled) == before
    with pytest.raises(BackupRefused, match="never overwritten"):
        back_up(filled, file)


@pytest.mark.long
def test_a_restore_that_is_interrupted_leaves_no_ledger(filled: str, tmp_path: Path, backend: str) -> None:
    file = tmp_path / "backup"
    back_up(filled, file)

    stops = ["check entry", "restore entry", "restore seal", "verify"]

    def interrupt(step: str, done: int, total: int) -> None:
        if step == stops[0]:
            raise KeyboardInterrupt

    with database(backend, tmp_path, empty=True) as target:
        while stops:
            with pytest.raises(KeyboardInterrupt), closing(Database(target)) as place:
                restore_backup(place, file, interrupt)
            assert schema_state(target) is SchemaState.ABSENT
            del stops[0]
        restore(target, file)
        assert answers(target) == answers(filled)


@pytest.mark.long
def test_an_interrupted_backup_is_not_taken_for_a_whole_one(filled: str, tmp_path: Path) -> None:
    def interrupt(step: str, done: int, total: int) -> None:
        if step == "back up seal":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(filled, tmp_path / "backup", progress=interrupt)
    assert not list(tmp_path.glob("backup*"))
    back_up(filled, tmp_path / "backup")
    rehearse(tmp_path / "backup", silent)


@pytest.mark.long
def test_keys_are_left_out_on_request(filled: str, tmp_path: Path) -> None:
    made = back_up(filled, tmp_path / "backup", without_keys=True)
    assert made.left_out == [KEYS]
    with zipfile.ZipFile(tmp_path / "backup") as archive:
        assert name_member(KEYS) not in archive.namelist()
    with database("sqlite", tmp_path, empty=True) as target:
        restore(target, tmp_path / "backup")
        with Ledger.open(target, clock=Clock()) as keyless, Ledger.open(filled, clock=Clock()) as whole:
            found = [one.erased for one in keyless.entries.list(MARKET, keyless.cut(), limit=10_000)]
            assert any(found)
            assert not any(one.erased for one in whole.entries.list(MARKET, whole.cut(), limit=10_000))
            assert verify(keyless, whole.seals.last()).mismatch is None
    assert back_up(filled, tmp_path / "whole").left_out == []


@pytest.mark.long
def test_an_unknown_ledger_is_not_backed_up(url: str, tmp_path: Path) -> None:
    with closing(Database(url)) as place, place.write() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(LedgerVersionUnknown, match="newer"):
        back_up(url, tmp_path / "backup")
    with pytest.raises(LedgerVersionUnknown, match="nothing to back up"):
        back_up(f"sqlite:///{tmp_path}/none.db", tmp_path / "backup")
    assert not list(tmp_path.glob("backup*")) + list(tmp_path.glob("none*"))


def test_a_servers_role_can_back_up(tmp_path: Path) -> None:
    from service.ledger.database.rights import grant
    from tests.service.ledger.test_rights import ROLE, owned_database

    with owned_database(tmp_path) as (url, role_url):
        grant(url, ROLE)
        with Ledger.open(role_url, clock=Clock()) as ledger:
            fill(ledger, 5)
        assert back_up(role_url, tmp_path / "backup").sequence == 24
