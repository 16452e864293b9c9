"""Edits of every table and file by their owners, and those that verification does not name."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from scoring.base.errors import SellertrustError
from service.access.audit import AuditFile
from service.access.audit_reading import verify_audit
from service.ledger.append.policy_moves import NewMove, PolicyAction
from service.ledger.append.proposals import NewStep, ProposalContent, ProposalStep
from service.ledger.database.database import Database
from service.ledger.records import Position
from service.ledger.seals.backup import rehearse, write_backup
from service.ledger.seals.checkpoints import load_or_make_key, read_checkpoints, write_checkpoint
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.helpers.builders import MARKET, NOW, confirmed, exposure, identity, status, violation
from tests.helpers.ledgers import verify
from tests.helpers.models import publish


class Edit(NamedTuple):
    of: str
    is_found: bool
    is_table: bool = False


def edits(folder: Path) -> Iterator[Edit]:
    ledger = folder / "ledger.db"
    checkpoint = _fill(ledger)
    yield from _edits_of_tables(ledger, folder / "edited.db", checkpoint)
    yield from _edits_of_files(folder, ledger, checkpoint)


def _fill(path: Path) -> tuple[int, bytes]:
    with Ledger.open(f"sqlite:///{path}", create=True, clock=lambda: NOW) as ledger:
        ledger.append(MARKET, [identity("i-1", "s-1"), exposure(15_000, "s-1"), violation("v-1", "s-1")])
        ledger.append(MARKET, [status("v-1"), confirmed("v-2", "s-2")], position=Position("broker", 0, 7))
        moved = NewMove(PolicyAction.COMMITTED, "a" * 64, "a-1", "so", content="name = 'p'")
        ledger.policies.move("dns:anna.example", lambda _: [moved])
        content = ProposalContent("LedgerService/AppendEntries", b"\x0a\x01m", "a-1", "so", {"champion": "x"})
        ledger.proposals.propose(MARKET, "p-1", content, principal="dns:anna.example", seller="s-1", hours=1)
        approved = NewStep(ProposalStep.APPROVED, "dns:bert.example", "b-1")
        ledger.proposals.take_step(MARKET, "p-1", approved, lambda _: True)
        withdrawn = NewStep(ProposalStep.WITHDRAWN, "dns:anna.example", "a-1")
        ledger.proposals.take_step(MARKET, "p-1", withdrawn, lambda _: True)
        ledger.erase(MARKET, "s-2", actor="a-1", entry_id="erased")
        return ledger.seals.last()


def _edits_of_tables(ledger: Path, copy: Path, checkpoint: tuple[int, bytes]) -> Iterator[Edit]:
    def is_found(statement: str, *values: Any) -> bool:
        shutil.copy(ledger, copy)
        with closing(sqlite3.connect(copy)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                database.execute(f"DROP TRIGGER {name}")
            database.execute(statement, values)
            database.commit()
        try:
            with Ledger.open(f"sqlite:///{copy}") as opened:
                return bool(verify(opened, checkpoint).faults)
        except SellertrustError:
            return True

    with closing(sqlite3.connect(ledger)) as database:
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        tables = [name for (name,) in database.execute(names)]
        columns = {t: [row[1] for row in database.execute(f"PRAGMA table_info({t})")] for t in tables}
        rows = {t: database.execute(f"SELECT rowid, * FROM {t}").fetchall() for t in tables}
    for table in tables:
        for rowid, *values in rows[table]:
            where = "" if table == "source_position" else f"WHERE rowid = {rowid}"
            yield Edit(f"{table}: a row deleted", is_found(f"DELETE FROM {table} {where}"), is_table=True)
            for column, value in zip(columns[table], values, strict=True):
                change = f'UPDATE {table} SET "{column}" = ? {where}'
                yield Edit(f"{table}.{column}", is_found(change, _other(value)), is_table=True)


def _other(value: Any) -> Any:
    if value is None:
        return 1
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    return value + 100 if isinstance(value, int) else value[:-1] + ("x" if value[-1:] != "x" else "y")


def _edits_of_files(folder: Path, ledger: Path, checkpoint: tuple[int, bytes]) -> Iterator[Edit]:
    audit = AuditFile(folder / "audit.jsonl")
    for number in range(4):
        audit.write(event="call", caller="dns:anna.example", method="ModelService/PromoteModel", number=number)
    yield from _edits_of_lines("audit file", audit.path, verify_audit)

    key, exported = load_or_make_key(folder / "key.pem"), folder / "checkpoints.jsonl"
    for _ in range(2):
        stated = write_checkpoint(exported, key, *checkpoint, "2026-03-01T12:00:00Z")

    def verify_ledger(path: Path) -> None:
        with Ledger.open(f"sqlite:///{ledger}") as opened:
            if opened.seals.verify(read_checkpoints(path, stated["public_key"]), lambda *_: None).faults:
                raise ValueError("it does not match")

    yield from _edits_of_lines("checkpoints", exported, verify_ledger)

    backup = folder / "ledger.backup"
    with closing(Database(f"sqlite:///{ledger}")) as place:
        write_backup(place, backup, lambda *_: None, now=NOW)
    yield from _edits_of_bytes("backup", backup, lambda path: rehearse(path, lambda *_: None))

    registry = Registry(folder / "models")
    digest = publish(registry)
    for path in (folder / "models" / "models" / digest).iterdir():
        if path.name != "gates.json":
            yield from _edits_of_bytes(f"model: {path.name}", path, lambda _: registry.content(digest), 3)
    yield from _edits_of_bytes(
        "model: gates.json", path.with_name("gates.json"), lambda _: registry.gates(digest, registry.history()), 3
    )
    [move] = (folder / "models" / "moves").iterdir()
    yield from _edits_of_lines("log of models' moves", move, lambda _: Registry(folder / "models").history())


Verify = Callable[[Path], object]


def _edits_of_lines(of: str, path: Path, verify: Verify) -> Iterator[Edit]:
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    for index, line in enumerate(lines):
        changed = {
            "a line deleted": b"",
            "a line twice": line + line,
            "a blank": line.replace(b": ", b":  ", 1),
            "a second key": b'{"time": "2026-01-01T00:00:00Z", ' + line[1:],
            "a value": line[:12] + bytes([line[12] ^ 1]) + line[13:],
        }
        for what, other in changed.items():
            path.write_bytes(b"".join([*lines[:index], other, *lines[index + 1 :]]))
            yield Edit(f"{of}: {what}", _refuses(verify, path))
    path.write_bytes(good)


def _edits_of_bytes(of: str, path: Path, verify: Verify, count: int = 20) -> Iterator[Edit]:
    good = path.read_bytes()
    for number in range(count):
        place = (len(good) - 1) * number // count
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        yield Edit(of, _refuses(verify, path))
    path.write_bytes(good)


def _refuses(verify: Verify, path: Path) -> bool:
    try:
        verify(path)
    except (SellertrustError, ValueError):
        return True
    return False
