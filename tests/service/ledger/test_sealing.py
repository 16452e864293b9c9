import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, select

from scoring.base.enums import Action, Kind
from scoring.base.errors import LedgerUnavailable, SellerNotFound
from scoring.entries.incidents import derived_id
from scoring.entries.kinds.table import BY_COMMAND, KINDS
from service.ledger.database.tables import SELLER_KEY
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows
from tests.helpers.builders import MARKET, SELLER, confirmed, exposure, status, violation
from tests.helpers.kinds import ON_RECORD, every_entry
from tests.helpers.ledgers import verify

CANARY = "Wang Xiaoming, 5 Harbour Street"
MARK = "some-product"
"""An unsealed id, which proves that the search works."""


def bytes_of(url: str, *, journal: bool = True) -> bytes:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        files = sorted(Path(parsed.database or "").parent.glob(Path(parsed.database or "").name + "*"))
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            [(folder, number)] = connection.execute(
                "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = current_database()"
            ).fetchall()
        files = sorted((Path(folder) / "base" / str(number)).iterdir())
        files += sorted((Path(folder) / "pg_wal").glob("0*")) if journal else []
    return b"".join(file.read_bytes() for file in files if file.is_file())


def key_of(ledger: Ledger, seller: str) -> bytes:
    with ledger.database.read() as connection:
        key = connection.execute(select(SELLER_KEY.c.key).where(SELLER_KEY.c.seller == seller)).scalar_one()
    return bytes(key)


def fill(ledger: Ledger) -> None:
    ledger.append(MARKET, ON_RECORD)
    ledger.append(MARKET, [entry for kind, entry in every_entry(CANARY) if kind not in BY_COMMAND])
    ledger.append(MARKET, [exposure(), violation("later")])


def sealed_texts(ledger: Ledger, seller: str) -> list[str]:
    found = []
    for recorded in ledger.entries.list(MARKET, ledger.cut(), sellers=[seller], limit=1000):
        fact = recorded.entry.fact
        [row] = [row for row in KINDS.values() if row.fact is type(fact)]
        found += [getattr(fact, field.name) for field in row.fields if field.shape.sealed]
    return [text for text in found if text]


def test_sealed_texts_are_nowhere_in_clear(ledger: Ledger, url: str) -> None:
    fill(ledger)
    held = bytes_of(url)
    assert MARK.encode() in held
    assert CANARY.encode() not in held
    assert sealed_texts(ledger, SELLER).count(CANARY) > 30
    assert sealed_texts(ledger, "").count(CANARY) > 0


def test_an_erasure_takes_the_texts_and_leaves_what_counts(ledger: Ledger, url: str, backend: str) -> None:
    fill(ledger)
    ledger.append(MARKET, [violation("other", "s2")])
    rows = fact_rows(ledger, SELLER, "s2")
    sequence, key = ledger.last()[0], key_of(ledger, SELLER)
    assert key in bytes_of(url)
    ledger.erase(MARKET, SELLER, actor="officer", entry_id="erasure-1")
    held = bytes_of(url, journal=backend == "sqlite")
    assert MARK.encode() in held
    assert key not in held
    assert CANARY.encode() not in held
    assert set(sealed_texts(ledger, SELLER)) == {"[erased]"}
    voids = {derived_id("erasure-1", entry.entry_id) for kind, entry in every_entry() if kind is Kind.LINK}
    assert [row for row in fact_rows(ledger, SELLER, "s2") if row.entry_id not in voids] == rows
    verified = verify(ledger)
    assert (verified.mismatch, verified.sequence) == (None, sequence + len(voids) + 1)


def test_an_erasure_leaves_other_sellers_texts(ledger: Ledger) -> None:
    fill(ledger)
    said = [entry for kind, entry in every_entry(CANARY) if kind is Kind.OVERRIDE][:1]
    others = [e.__class__(f"{e.entry_id}-s2", "s2", e.fact, e.occur_time) for e in said]
    ledger.append(MARKET, others)
    ledger.erase(MARKET, SELLER, actor="officer", entry_id="erasure-1")
    assert sealed_texts(ledger, "s2") == [CANARY]
    assert sealed_texts(ledger, "").count(CANARY) > 0


def test_a_retry_of_what_was_erased_says_so(ledger: Ledger) -> None:
    fill(ledger)
    ledger.erase(MARKET, SELLER, actor="officer", entry_id="erasure-1")
    last = ledger.last()
    entries = [entry for kind, entry in every_entry(CANARY) if kind not in BY_COMMAND]
    done = ledger.append(MARKET, entries)
    assert all(one.already_present for one in done)
    sealed = {row.fact for row in KINDS.values() if any(field.shape.sealed for field in row.fields)}
    for one, entry in zip(done, entries, strict=True):
        assert one.erased == (type(entry.fact) in sealed and entry.seller == SELLER), entry
    assert ledger.last() == last


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in BY_COMMAND])
def test_erased_entries_of_each_kind_still_read(ledger: Ledger, kind: Kind) -> None:
    mine = [entry for k, entry in every_entry(CANARY) if k is kind]
    ledger.append(MARKET, [*ON_RECORD, *mine])
    ledger.erase(MARKET, SELLER, actor="officer", entry_id="erasure-1")
    read = {recorded.entry.entry_id: recorded for recorded in ledger.entries.list(MARKET, ledger.cut(), limit=1000)}
    for entry in mine:
        found = read[entry.entry_id]
        gone = entry.seller and any(f.shape.sealed and getattr(entry.fact, f.name) for f in KINDS[kind].fields)
        assert found.erased == bool(gone)
        for field in KINDS[kind].fields:
            expected = getattr(entry.fact, field.name)
            if field.shape.sealed and gone:
                expected = "[erased]" if field.required else ""
            assert getattr(found.entry.fact, field.name) == expected


def test_an_erasure_of_an_unknown_seller_is_refused(ledger: Ledger) -> None:
    ledger.append("other", [confirmed("v1", "s2")])
    with pytest.raises(SellerNotFound, match="No seller 's2' in marketplace"):
        ledger.erase(MARKET, "s2", actor="officer", entry_id="e1")
    assert ledger.last()[0] == 1
    ledger.erase("other", "s2", actor="officer", entry_id="e1")
    assert ledger.erase("other", "s2", actor="officer", entry_id="e1").already_present


@pytest.mark.long
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_an_erasure_held_up_is_finished_by_a_retry(ledger: Ledger, url: str) -> None:
    ledger.append(MARKET, [confirmed("v1"), status("v1", Action.APPEAL)])
    key = key_of(ledger, "s1")
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        with pytest.raises(LedgerUnavailable, match=r"is on record .* the entry id e1"):
            ledger.erase(MARKET, "s1", actor="officer", entry_id="e1")
        assert key in bytes_of(url)
    assert ledger.erase(MARKET, "s1", actor="officer", entry_id="e1").already_present
    assert key not in bytes_of(url)
