"""How far sources are read, as methods of the ledger."""

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, func, select

from service.ledger.database.tables import SOURCE_POSITION
from service.ledger.queries.reads import Reads

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


def position(connection: Connection, source: str, partition: int) -> int | None:
    """Return the position from which a partition of a source is to be read on; None if nothing of it was read yet."""
    found = connection.execute(_POSITION, {"source": source, "part": partition}).scalar()
    return None if found is None else int(found)


class PositionReads(Reads):
    """The part of the ledger that says how far sources are read."""

    def position(self, source: str, partition: int) -> int | None:
        """Return the position from which a partition of a source is to be read on.

        None if nothing of it was read yet.
        """
        with self._database.read() as connection:
            return position(connection, source, partition)

    def positions(self, prefix: str) -> Mapping[str, int]:
        """Return the position of each source whose name begins with an ASCII prefix, by the rest of its name.

        That of partition 0.
        """
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        with self._database.read() as connection:
            found = connection.execute(_BY_SOURCE, {"first": prefix, "end": end})
            return {source.removeprefix(prefix): int(number) for source, number in found}
