from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, func, insert, select

from scoring.base.frozen import frozen
from service.ledger.clock.ledger_clock import LedgerClock, last_entry
from service.ledger.database.tables import SOURCE_POSITION
from service.ledger.records import Position

_P = SOURCE_POSITION.c
_POSITION = (
    select(_P.next_position)
    .where(_P.source == bindparam("source"), _P.partition == bindparam("part"))
    .order_by(_P.next_position.desc())
    .limit(1)
)
_BY_SOURCE = (
    select(_P.source, func.max(_P.next_position))
    .where(_P.source >= bindparam("first"), _P.source < bindparam("end"), _P.partition == 0)
    .group_by(_P.source)
    .order_by(_P.source)
)


@frozen
class Positions:
    clock: LedgerClock

    def find(self, source: str, partition: int = 0) -> int | None:
        """Return the position from which to read a partition; None at its beginning."""
        with self.clock.database.read() as connection:
            return _read_position(connection, source, partition)

    def list(self, prefix: str) -> Mapping[str, int]:
        """Return partition 0's position of each source with an ASCII prefix, by the rest of its name."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        rows = self.clock.database.rows(_BY_SOURCE, first=prefix, end=end)
        return {source.removeprefix(prefix): number for source, number in rows}

    def advance(self, position: Position) -> None:
        """Record how far a source is read, in its own transaction; it never moves back."""
        with self.clock.database.write() as connection:
            record_position(connection, position, last_entry(connection).sequence)


def record_position(connection: Connection, position: Position, sequence: int) -> None:
    """Record how far a source is read, under the caller's lock; it never moves back."""
    recorded = _read_position(connection, position.source, position.partition)
    if recorded is None or recorded < position.next_position:
        connection.execute(insert(SOURCE_POSITION), position._asdict() | {"sequence": sequence})


def _read_position(connection: Connection, source: str, partition: int) -> int | None:
    position: int | None = connection.execute(_POSITION, {"source": source, "part": partition}).scalar()
    return position
