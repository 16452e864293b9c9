import json
import resource
import zipfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from scoring.base.enums import Action
from scoring.base.errors import BackupRefused
from service.ledger.database.rights import KEYS
from service.ledger.database.schema import SchemaState
from service.ledger.seals.backup import MANIFEST, name_member
from service.ledger.seals.restore import rehearse
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, confirmed, exposure, status
from tests.helpers.databases import BACKENDS, database, schema_state
from tests.helpers.ledgers import back_up, restore, silent, verify

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
