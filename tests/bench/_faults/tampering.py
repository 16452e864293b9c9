"""The owner of the database changes what is recorded, under an exported checkpoint."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text

from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import OverrideImposed
from scoring.enums import Tier
from scoring.time import DAY
from service.ledger.clock.server_clock import wall_clock
from service.ledger.database.tables import ENTRY, SELLER_KEY
from service.ledger.store import Ledger
from tests.bench._fault_writer import BATCH, MARKETPLACE, batch
from tests.bench._faults import Sizes

COLUMNS = ("seller", "entry_id", "content", "report_time", "settled_orders", "digest")


def tamper(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """Edits, deletions and swaps of single entries, rows beside them, and keys; each undone before the next.

    Every verification must see it.
    """
    with Ledger.open(url) as ledger:
        for number in range(1, max(sizes.tampered_entries // BATCH, 1) + 1):
            ledger.append(MARKETPLACE, batch(number))
        override = OverrideImposed(Tier.EXEMPLARY, wall_clock() + 10 * DAY, "officer", "sealed")
        ledger.append(MARKETPLACE, [Entry("f-0-0", "s-0", override)])
        checkpoint, last = ledger.checkpoint(), ledger.last()[0]
        undetected = 0
        with _owner(url) as engine:
            for _ in range(sizes.tamperings):
                a, b = chance.sample(range(1, last + 1), 2)
                with engine.begin() as connection:
                    before, keys = _rows(connection, a, b), _keys(connection)
                    _change(connection, before, chance)
                undetected += not ledger.verify([checkpoint], lambda done, total: None).faults
                with engine.begin() as connection:
                    _put(connection, before)
                    connection.execute(SELLER_KEY.delete())
                    connection.execute(SELLER_KEY.insert(), keys)
        intact = not ledger.verify([checkpoint], lambda done, total: None).faults
    assert intact, "what was undone must verify"
    return {"tries": sizes.tamperings, "undetected": undetected}


def _rows(connection: Connection, a: int, b: int) -> list[dict[str, Any]]:
    found = connection.execute(ENTRY.select().where(ENTRY.c.sequence.in_((a, b))))
    return [dict(row._mapping) for row in found]


def _keys(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(SELLER_KEY.select())]


def _change(connection: Connection, rows: Sequence[dict[str, Any]], chance: random.Random) -> None:
    """Edits the first of two entries, deletes one or both, swaps their places, sets one beside them, or takes keys.

    An empty text that becomes NULL, and a row before the first, leave every leaf as it was.
    """
    kind = chance.choice(
        ("edit", "delete one", "delete both", "swap", "NULL for empty", "beside", "delete keys", "change keys")
    )
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
    elif kind == "NULL for empty":
        empty = "CASE WHEN product_category IS NULL THEN '' END"
        connection.execute(text(f"UPDATE entry SET product_category = {empty} WHERE sequence = {first}"))
    elif kind == "beside":
        connection.execute(
            ENTRY.insert(), [rows[0] | {"sequence": -first, "entry_id": "beside", "revision": 1_000_000}]
        )
    elif kind == "delete keys":
        connection.execute(SELLER_KEY.delete())
    elif kind == "change keys":
        connection.execute(SELLER_KEY.update().values(key=chance.randbytes(32)))
    elif kind == "swap":
        _put(connection, [rows[0] | {"sequence": second}, rows[1] | {"sequence": first}])
    else:
        gone = (first,) if kind == "delete one" else (first, second)
        connection.execute(ENTRY.delete().where(ENTRY.c.sequence.in_(gone)))


def _put(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    gone = ENTRY.c.sequence.in_([row["sequence"] for row in rows]) | (ENTRY.c.sequence < 1)
    connection.execute(ENTRY.delete().where(gone))
    connection.execute(ENTRY.insert(), list(rows))


@contextmanager
def _owner(url: str) -> Iterator[Engine]:
    """The owner of a ledger's database, who has turned off its triggers and CHECKs."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for name in ("entry_no_update", "entry_no_delete"):
                connection.execute(text(f"DROP TRIGGER {name}"))
            event.listen(engine, "connect", _without_checks)
        else:
            for name in ("entry", SELLER_KEY.name):
                connection.execute(text(f"ALTER TABLE {name} DISABLE TRIGGER USER"))
            for name in ("entry_sequence", "entry_exposure"):
                connection.execute(text(f"ALTER TABLE entry DROP CONSTRAINT {name}"))
    engine.dispose()  # so that every connection from here on is without CHECKs
    yield engine
    engine.dispose()


def _without_checks(connection: Any, record: object) -> None:
    connection.execute("PRAGMA ignore_check_constraints = ON")
