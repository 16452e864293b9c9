import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from scoring.base.enums import Action, Harm, Source
from scoring.base.errors import EntryNotFound, SellertrustError
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductViolationReported
from scoring.entries.kinds.table import BY_COMMAND
from service.ledger.database.database import Database
from service.ledger.database.tables import ENTRY
from service.ledger.records import Position
from service.ledger.seals.chain import leaf_of
from service.ledger.seals.checkpoints import load_or_make_key, read_checkpoints, write_checkpoint
from service.ledger.seals.merkle import leaf_hash, merkle_root, node_hash
from service.ledger.seals.verifying import is_as_written
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, ago, confirmed, exposure, identity, status, violation
from tests.helpers.kinds import ON_RECORD, every_entry
from tests.helpers.ledgers import owner, verify
from tests.helpers.rows import seal_entries

PRODUCT = ProductViolationReported("counterfeit_goods", Harm.HIGH, Source.CUSTOMS, "g1", notifier="n", final=True)


@contextmanager
def unchecked(url: str) -> Iterator[Connection]:
    with owner(url) as connection:
        if url.startswith("sqlite"):
            connection.execute(text("PRAGMA ignore_check_constraints = ON"))
            for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            named = "SELECT conrelid::regclass || ' DROP CONSTRAINT ' || conname FROM pg_constraint WHERE contype = 'c'"
            for (what,) in connection.execute(text(f"{named} AND connamespace = 'public'::regnamespace")).all():
                connection.execute(text(f"ALTER TABLE {what}"))
        yield connection
        connection.commit()


def found_after(ledger: Ledger, url: str, *statements: str) -> Any:
    checkpoint = ledger.seals.last()
    assert verify(ledger, checkpoint).faults == ()
    with unchecked(url) as connection:
        for statement in statements:
            connection.execute(text(statement))
    return verify(ledger, checkpoint)


def fill(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1"), status("v1", Action.CONFIRM, "a1", units=50), exposure(settled_orders=9)])
    ledger.append(MARKET, [Entry("p1", "", PRODUCT, ago(20)), identity("i1")])


JOINED = "x'1f' || CAST('units=50' AS BLOB)"
JOINED_PG = "decode('1f', 'hex') || convert_to('units=50', 'UTF8')"
TAMPERINGS = {
    "an empty text becomes NULL": ("UPDATE entry SET product_category = NULL WHERE kind = 3", 3),
    "NULL becomes an empty text": ("UPDATE entry SET product_category = '' WHERE kind = 1", 1),
    "an incident out of nothing": ("UPDATE entry SET incident = '' WHERE kind = 4", 5),
    "a column hides in another": (
        "UPDATE entry SET notifier = notifier || {unit} || 'target=' || target, target = NULL WHERE kind = 13",
        4,
    ),
    "a column hides in the digest": (
        "UPDATE entry SET digest = CAST(digest || {joined} AS {bytes}), units = NULL WHERE kind = 2",
        2,
    ),
    "a decision beside the sealed": (
        "INSERT INTO entry (sequence, marketplace, seller, entry_id, kind, occur_time, report_time, record_time,"
        " violation, status, content, digest) SELECT -1, marketplace, seller, 'x1', 2, occur_time, report_time,"
        " record_time, 'v1', 6, content, digest FROM entry WHERE entry_id = 'a1'",
        -1,
    ),
    "an entry without a seal": (
        "INSERT INTO entry (sequence, marketplace, seller, entry_id, kind, occur_time, report_time, record_time,"
        " violation, status, content, digest) SELECT 6, marketplace, seller, 'x1', 2, occur_time, report_time,"
        " record_time, 'v1', 6, content, digest FROM entry WHERE entry_id = 'a1'",
        6,
    ),
    "a seal before the first": (
        "INSERT INTO seal SELECT -5, -1, root, chain, leaves FROM seal WHERE first_sequence = 1",
        1,
    ),
}


@pytest.mark.parametrize("change", TAMPERINGS)
def test_an_edit_that_leaves_the_leaves_is_found(ledger: Ledger, url: str, change: str) -> None:
    fill(ledger)
    statement, named = TAMPERINGS[change]
    is_sqlite = url.startswith("sqlite")
    words = ("char(31)", JOINED, "BLOB") if is_sqlite else ("chr(31)", JOINED_PG, "bytea")
    found = found_after(ledger, url, statement.format(**dict(zip(("unit", "joined", "bytes"), words, strict=True))))
    assert found.mismatch is not None
    assert found.mismatch.sequence == named


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_value_of_another_type_is_found(ledger: Ledger, url: str) -> None:
    fill(ledger)
    found = found_after(ledger, url, "UPDATE entry SET entry_id = CAST(entry_id AS BLOB) WHERE sequence = 2")
    assert (found.mismatch.sequence, "shape" in found.mismatch.problem) == (2, True)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_second_row_of_one_sequence_is_found(ledger: Ledger, url: str) -> None:
    for first in range(0, 2_002, 1_001):
        ledger.append(MARKET, [identity(f"i{number}") for number in range(first, first + 1_001)])
    found = found_after(
        ledger,
        url,
        "CREATE TABLE anew AS SELECT * FROM entry",
        "DROP TABLE entry",
        "ALTER TABLE anew RENAME TO entry",
        "INSERT INTO entry SELECT * FROM entry WHERE sequence = 2000",
    )
    assert found.mismatch is not None
    assert found.mismatch.sequence == 2_000


def test_every_kind_of_entry_is_as_the_ledger_writes_it(ledger: Ledger) -> None:
    later = violation("texts")
    ground = "".join(map(chr, [*range(32, 127), *range(160, 200)]))
    ledger.append(MARKET, [*ON_RECORD, replace(later, fact=replace(later.fact, ground=ground))])  # type: ignore[arg-type]
    ledger.append(MARKET, [entry for kind, entry in every_entry() if kind not in BY_COMMAND])
    ledger.erase(MARKET, "s1", actor="officer", entry_id="erasure-1")
    assert verify(ledger, ledger.seals.last()).faults == ()


def test_rows_as_the_ledger_writes_them_have_leaves_of_their_own(ledger: Ledger) -> None:
    """NULL and the empty text share a leaf, so the ledger writes only one of them."""
    fill(ledger)
    with ledger.database.read() as connection:
        rows = [list(row) for row in connection.execute(ENTRY.select())]
    for place in range(len(rows[0])):
        for row in rows:
            for other in (None, ""):
                changed = [*row[:place], other, *row[place + 1 :]]
                if changed != row and leaf_of_or_none(changed) == leaf_of(row):
                    assert not (is_as_written(changed) and is_as_written(row))


def leaf_of_or_none(row: list[Any]) -> bytes | None:
    try:
        return leaf_of(row)
    except TypeError:
        return None


def test_keys_that_are_missing_are_counted_and_hide_no_tampering(ledger: Ledger, url: str) -> None:
    fill(ledger)
    ledger.append(MARKET, [confirmed("v2", "s2"), status("v2", Action.APPEAL, "a2")])
    last = "(SELECT max(sequence) FROM entry)"
    changed = found_after(
        ledger, url, "DELETE FROM seller_key", f"UPDATE entry SET severity = 1 WHERE sequence = {last}"
    )
    assert "from here on 1 entry is without" in changed.key_lost.problem
    assert changed.mismatch.sequence == ledger.last()[0]


@pytest.mark.parametrize("length", [1, 32])
def test_a_key_that_was_changed_is_reported_and_stops_no_reading(ledger: Ledger, url: str, length: int) -> None:
    fill(ledger)
    ledger.append(MARKET, [confirmed("v2", "s2"), status("v2", Action.APPEAL, "a2")])
    wrong = f"zeroblob({length})" if url.startswith("sqlite") else f"decode('{'00' * length}', 'hex')"
    found = found_after(ledger, url, f"UPDATE seller_key SET key = {wrong} WHERE seller = 's1'")
    assert found.mismatch is None
    assert found.key_lost is None
    assert found.key_wrong.sequence == 2
    read = {one.entry.entry_id: one for one in ledger.entries.list(MARKET, ledger.cut())}
    assert len(read) == 7
    assert [one for one in read if read[one].erased] == ["a1"]
    assert read["a1"].entry.fact.reason == "[erased]"  # type: ignore[union-attr]
    assert not read["a2"].erased


def test_a_position_beyond_the_ledger_is_reported(ledger: Ledger, url: str) -> None:
    ledger.append(MARKET, [confirmed("v1")], position=Position("kafka", 0, 10))
    found = found_after(ledger, url, "UPDATE source_position SET sequence = 9")
    assert found.position_ahead.sequence == 9
    assert found.mismatch is None


def fill_in_batches(ledger: Ledger, entries: int = 60) -> None:
    chance = random.Random(6962)
    number = 0
    while number < entries:
        batch = [
            confirmed(f"v{n}") if n % 3 else exposure(15_000 + n) for n in range(number, number + chance.randint(1, 7))
        ]
        ledger.append(MARKET, batch)
        number += len(batch)


def test_every_recorded_entry_is_proven_and_no_other(ledger: Ledger) -> None:
    fill_in_batches(ledger)
    last = ledger.last().sequence
    assert [proof.sequence for proof in ledger.seals.prove(range(1, last + 1))] == [*range(1, last + 1)]
    for absent in (0, last + 1):
        with pytest.raises(EntryNotFound, match=f"no entry has the sequence {absent}"):
            ledger.seals.prove([1, absent])


def test_a_lost_tail_is_detected_by_the_process_that_wrote_it(ledger: Ledger, url: str) -> None:
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
    fill_in_batches(ledger)
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
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    a, b, c = (leaf_hash(data) for data in (b"a", b"b", b"c"))
    assert merkle_root([a, b, c]) == node_hash(node_hash(a, b), c)
    assert merkle_root([a]) == a
    assert merkle_root([]) == sha256(b"").digest()


def test_a_checkpoint_is_not_added_where_no_key_verifies_it(tmp_path: Path) -> None:
    file, key, other = tmp_path / "c.jsonl", *(load_or_make_key(tmp_path / name) for name in ("key.pem", "other.pem"))
    write_checkpoint(file, key, 3, b"\x03" * 32, "2026-03-01T00:00:00Z")
    whole = file.read_bytes()
    with pytest.raises(SellertrustError, match=r"the key [0-9a-f]{64} signed .*; restore that key,"):
        write_checkpoint(file, other, 9, b"\x09" * 32, "2026-03-02T00:00:00Z")
    for damaged in (whole[:-1], whole + whole[:60], whole + b"{}\n", b"{}\n" + whole):
        file.write_bytes(damaged)
        with pytest.raises(SellertrustError, match="is damaged or incomplete; delete it"):
            write_checkpoint(file, key, 9, b"\x09" * 32, "2026-03-02T00:00:00Z")
        assert file.read_bytes() == damaged


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
