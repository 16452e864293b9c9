import json
import resource
import threading
import zipfile
from collections.abc import Callable
from contextlib import closing, suppress
from hashlib import sha256
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
from service.ledger.seals.backup import MANIFEST, name_member, rehearse, restore_backup
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
    from tests.helpers.databases import ROLE, owned_database

    with owned_database(tmp_path) as (url, role_url):
        grant(url, ROLE)
        with Ledger.open(role_url, clock=Clock()) as ledger:
            fill(ledger, 5)
        assert back_up(role_url, tmp_path / "backup").sequence == 24


Members = dict[str, bytes]
Change = Callable[[Members], None]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    with database("sqlite", folder) as url:
        with Ledger.open(url, clock=Clock()) as ledger:
            ledger.append(MARKET, [confirmed("v1"), status("v1", Action.APPEAL), exposure()])
        back_up(url, folder / "backup")
    return folder / "backup"


def cell(table: str, column: int, value: Any) -> Change:
    def change(members: Members) -> None:
        first, *others = members[name_member(table)].splitlines(keepends=True)
        row = json.loads(first)
        row[column] = value
        members[name_member(table)] = b"".join([json.dumps(row).encode() + b"\n", *others])

    return change


def rows(table: str, text: bytes) -> Change:
    return lambda members: members.update({name_member(table): text})


def manifest(change: Callable[[Any], Any]) -> Change:
    def edit(members: Members) -> None:
        stated = json.loads(members[MANIFEST])
        change(stated)
        members[MANIFEST] = json.dumps(stated).encode()

    return edit


def without(*tables: str) -> Change:
    return manifest(lambda stated: [stated["tables"].pop(name) for name in tables])


BY_HAND: dict[str, tuple[Change, str]] = {
    "a number of no column": (cell("entry", 0, 2**70), "a row that the schema refuses"),
    "a fraction": (cell("entry", 5, 1.5), "a row that the schema refuses"),
    "half a character": (cell(KEYS, 2, "\ud800"), "a row that the schema refuses"),
    "NUL": (cell("entry", 1, "a\0b"), "a row that the schema refuses|a shape that the ledger does not write"),
    "a text for a number": (cell("entry", 5, "x"), "a row that the schema refuses|a shape that the ledger"),
    "deep JSON": (rows("entry", b"[" * 100_000 + b"\n"), "a row that the schema refuses"),
    "a long line": (rows("entry", b" " * (17 << 20) + b"\n"), "a line of more than"),
    "no entries": (without("entry", "seal"), "does not hold the tables"),
    "another seller": (cell("entry", 2, "s9"), "from entry 1 on, the entry was changed; restore an earlier"),
    "a value too few": (cell("entry", 1, None), "a row that the schema refuses"),
    "no rows": (rows("entry", b""), "from entry 1 on, the entry is missing"),
    "another chain": (manifest(lambda stated: stated.update(chain="00" * 32)), "not the one of the checkpoint"),
    "a newer schema": (manifest(lambda stated: stated.update(schema_version="9999")), "newer release"),
    "a newer form": (manifest(lambda stated: stated.update(format="sellertrust-backup-2")), "another form"),
    "SQL for a column": (
        manifest(lambda stated: stated["tables"]["entry"]["columns"].__setitem__(0, "a = 1; DROP TABLE entry; --")),
        "other columns",
    ),
    "entries left out": (
        manifest(lambda stated: stated["left_out"].append(stated["tables"].pop("entry") and "entry")),
        "does not hold the tables",
    ),
    "keys both left out and there": (
        manifest(lambda stated: stated["left_out"].append(KEYS)),
        "does not hold the tables",
    ),
    "other keys": (cell(KEYS, 3, "A" * 43 + "="), "does not open it"),
    "a column twice": (
        manifest(lambda stated: stated["tables"]["entry"]["columns"].__setitem__(8, "marketplace")),
        "other columns",
    ),
    "a column fewer": (manifest(lambda stated: stated["tables"]["entry"]["columns"].pop()), "other columns"),
    "no counts": (
        lambda members: members.update({MANIFEST: members[MANIFEST].replace(b'"rows"', b'"lines"')}),
        "its manifest has another form",
    ),
    "a deep manifest": (lambda members: members.update({MANIFEST: b"[" * 100_000}), "its manifest has another form"),
    "a long manifest": (lambda members: members.update({MANIFEST: b" " * (2 << 20)}), "its manifest is longer than"),
}


def forge(file: Path, to: Path, change: Change) -> None:
    """Write a changed backup; existing digests and counts match."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with suppress(ValueError, KeyError, RecursionError, TypeError):
        stated = json.loads(members[MANIFEST])
        for name, table in stated["tables"].items():
            table["sha256"] = sha256(members[name_member(name)]).hexdigest()
            table["rows"] = members[name_member(name)].count(b"\n")
        members[MANIFEST] = json.dumps(stated).encode()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", BY_HAND)
def test_a_forged_backup_is_refused_by_its_fault(file: Path, tmp_path: Path, backend: str, case: str) -> None:
    change, match = BY_HAND[case]
    forge(file, tmp_path / "forged", change)
    with database(backend, tmp_path, empty=True) as target:
        with pytest.raises(BackupRefused, match=match):
            restore(target, tmp_path / "forged")
        assert schema_state(target) is SchemaState.ABSENT


@pytest.mark.long
def test_what_unpacks_to_any_size_is_refused_in_bounded_memory(file: Path, tmp_path: Path) -> None:
    for name, match in ((MANIFEST, "its manifest is longer than"), (name_member("entry"), "SHA-256")):
        bomb = tmp_path / name
        with zipfile.ZipFile(file) as sound, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            for other in sound.namelist():
                if other != name:
                    archive.writestr(other, sound.read(other))
            with archive.open(name, "w") as member:
                for _ in range(300):
                    member.write(b" " * (1 << 20))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(BackupRefused, match=match):
            rehearse(bomb, silent)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_backup_follows_no_link_and_is_its_users_alone(file: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "c.partial").symlink_to(victim)
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    with database("sqlite", tmp_path) as url:
        back_up(url, tmp_path / "c")
        with pytest.raises(BackupRefused, match="exists already"):
            back_up(url, tmp_path / "linked")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "c").is_symlink()
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o600


@pytest.mark.long
@pytest.mark.parametrize("target", BACKENDS)
def test_a_keyless_ledger_is_backed_up_like_another(file: Path, tmp_path: Path, target: str) -> None:
    with (
        database("sqlite", tmp_path, empty=True) as whole,
        database("sqlite", tmp_path, empty=True) as keyless,
        database(target, tmp_path, empty=True) as last,
    ):
        restore(whole, file)
        back_up(whole, tmp_path / "keyless", without_keys=True)
        restore(keyless, tmp_path / "keyless")
        back_up(keyless, tmp_path / "again")
        restore(last, tmp_path / "again")
        with Ledger.open(last, clock=Clock()) as ledger:
            found = verify(ledger)
            assert found.mismatch is None
            assert found.key_lost is not None
