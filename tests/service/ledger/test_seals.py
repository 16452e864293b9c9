import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from scoring.base.errors import EntryNotFound, SellertrustError
from service.ledger.database.database import Database
from service.ledger.seals.checkpoints import load_or_make_key, read_checkpoints, write_checkpoint
from service.ledger.seals.merkle import leaf_hash, merkle_root, node_hash
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, confirmed, exposure, violation
from tests.helpers.ledgers import verify
from tests.helpers.rows import seal_entries

SQLITE_TRIGGERS = ("entry_no_update", "entry_no_delete", "seal_no_update", "seal_no_delete")


def silent(done: int, total: int) -> None:
    """No progress shown."""


@contextmanager
def owner(url: str) -> Iterator[Connection]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            if url.startswith("sqlite"):
                for name in SQLITE_TRIGGERS:
                    connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
            else:
                connection.execute(text("SET session_replication_role = replica"))
            yield connection
    finally:
        engine.dispose()


def fill(ledger: Ledger, entries: int = 60) -> None:
    chance = random.Random(6962)
    number = 0
    while number < entries:
        batch = [
            confirmed(f"v{n}") if n % 3 else exposure(15_000 + n) for n in range(number, number + chance.randint(1, 7))
        ]
        ledger.append(MARKET, batch)
        number += len(batch)


def test_every_recorded_entry_is_proven_and_no_other(ledger: Ledger) -> None:
    fill(ledger)
    last = ledger.last().sequence
    assert [proof.sequence for proof in ledger.seals.prove(range(1, last + 1))] == [*range(1, last + 1)]
    for absent in (0, last + 1):
        with pytest.raises(EntryNotFound, match=f"no entry has the sequence {absent}"):
            ledger.seals.prove([1, absent])


def test_a_lost_tail_is_detected_by_the_process_that_wrote_it(ledger: Ledger, url: str) -> None:
    """The process has not read its last entry since it committed the entry."""
    ledger.append(MARKET, [violation("first")])
    [last] = ledger.append(MARKET, [violation("last")])
    with owner(url) as connection:
        for statement in ("DELETE FROM seal WHERE last_sequence = :n", "DELETE FROM entry WHERE sequence = :n"):
            connection.execute(text(statement), {"n": last.sequence})
        connection.commit()
    found = verify(ledger).mismatch
    assert found is not None
    assert found.sequence == last.sequence


def test_a_resealed_ledger_is_found_by_a_checkpoint(ledger: Ledger, url: str) -> None:
    fill(ledger)
    checkpoint = ledger.seals.last()
    with owner(url) as connection:
        connection.execute(text("UPDATE entry SET settled_orders = settled_orders + 1 WHERE kind = 3 AND sequence < 9"))
        connection.execute(text("DELETE FROM seal"))
        connection.commit()
    database = Database(url)
    with database.write() as connection:
        seal_entries(connection)
    database.close()
    assert verify(ledger).mismatch is None
    found = verify(ledger, checkpoint).mismatch
    assert found is not None
    assert "checkpoint" in found.problem


def test_merkle_roots_are_those_of_rfc_6962() -> None:
    """Worked: the empty leaf, and the tree of three leaves by hand."""
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    a, b, c = (leaf_hash(data) for data in (b"a", b"b", b"c"))
    assert merkle_root([a, b, c]) == node_hash(node_hash(a, b), c)
    assert merkle_root([a]) == a
    assert merkle_root([]) == sha256(b"").digest()


def test_a_checkpoint_needs_the_key_that_signed_it(tmp_path: Path) -> None:
    key = load_or_make_key(tmp_path / "key.pem")
    assert load_or_make_key(tmp_path / "key.pem").public_key().public_bytes_raw() == key.public_key().public_bytes_raw()
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    file = tmp_path / "checkpoints.jsonl"
    for sequence in (3, 9):
        written = write_checkpoint(file, key, sequence, bytes([sequence]) * 32, "2026-03-01T00:00:00Z")
    assert read_checkpoints(file, written["public_key"]) == [(3, b"\x03" * 32), (9, b"\x09" * 32)]
    other = load_or_make_key(tmp_path / "other.pem").public_key().public_bytes_raw().hex()
    with pytest.raises(SellertrustError, match="line 1"):
        read_checkpoints(file, other)
    file.write_text(file.read_text().replace('"sequence": 9', '"sequence": 8'))
    with pytest.raises(SellertrustError, match="line 2"):
        read_checkpoints(file, written["public_key"])
