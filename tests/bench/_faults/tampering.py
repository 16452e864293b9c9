"""The owner of the database changes what is recorded, under an exported checkpoint."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text

from service.ledger import Ledger
from service.ledger.tables import ENTRY
from tests.bench._fault_writer import BATCH, MARKETPLACE, batch
from tests.bench._faults import Sizes

COLUMNS = ("seller", "entry_id", "content", "report_time", "settled_orders", "digest")


def tamper(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """Edits, deletions and swaps of single entries, each undone before the next; every verification must see it."""
    with Ledger.open(url) as ledger:
        for number in range(1, max(sizes.tampered_entries // BATCH, 1) + 1):
            ledger.append(MARKETPLACE, batch(number))
        checkpoint, last = ledger.checkpoint(), ledger.last()[0]
        undetected = 0
        with _owner(url) as engine:
            for _ in range(sizes.tamperings):
                a, b = chance.sample(range(1, last + 1), 2)
                with engine.begin() as connection:
                    before = _rows(connection, a, b)
                    _change(connection, before, chance)
                undetected += ledger.verify([checkpoint], lambda done, total: None).mismatch is None
                with engine.begin() as connection:
                    _put(connection, before)
        intact = ledger.verify([checkpoint], lambda done, total: None).mismatch is None
    assert intact, "what was undone must verify"
    return {"tries": sizes.tamperings, "undetected": undetected}


def _rows(connection: Connection, a: int, b: int) -> list[dict[str, Any]]:
    found = connection.execute(ENTRY.select().where(ENTRY.c.sequence.in_((a, b))))
    return [dict(row._mapping) for row in found]


def _change(connection: Connection, rows: Sequence[dict[str, Any]], chance: random.Random) -> None:
    """Edits the first of two entries, deletes one or both, or swaps their places."""
    kind = chance.choice(("edit", "delete one", "delete both", "swap"))
    first, second = rows[0]["sequence"], rows[1]["sequence"]
    if kind == "edit":
        column = chance.choice(COLUMNS)
        values = {
            "report_time": "report_time - 1",
            "settled_orders": "settled_orders + 1",
            "digest": "(SELECT root FROM seal ORDER BY first_sequence LIMIT 1)",
        }
        value = values.get(column, f"{column} || 'x'")
        connection.execute(text(f"UPDATE entry SET {column} = {value} WHERE sequence = {first}"))
    elif kind == "swap":
        _put(connection, [rows[0] | {"sequence": second}, rows[1] | {"sequence": first}])
    else:
        gone = (first,) if kind == "delete one" else (first, second)
        connection.execute(ENTRY.delete().where(ENTRY.c.sequence.in_(gone)))


def _put(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(ENTRY.delete().where(ENTRY.c.sequence.in_([row["sequence"] for row in rows])))
    connection.execute(ENTRY.insert(), list(rows))


@contextmanager
def _owner(url: str) -> Iterator[Engine]:
    """The owner of a ledger's database, who has turned its triggers off."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for name in ("entry_no_update", "entry_no_delete"):
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("ALTER TABLE entry DISABLE TRIGGER USER"))
    yield engine
    engine.dispose()
