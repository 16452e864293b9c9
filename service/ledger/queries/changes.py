"""What a follower of the ledger reads: its end with the seal's chain, and whom the entries after a sequence concern."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, select

from service.ledger.append import appending
from service.ledger.clock.server_clock import LedgerClock, steady_clock
from service.ledger.database.database import Database
from service.ledger.database.rows import PLACE
from service.ledger.database.tables import ENTRY, SEAL
from service.ledger.seals.chain import GENESIS

_E = ENTRY.c
_ALL = 2**62  # of the ledger's entries
_AFTER = (
    select(_E.sequence, _E.marketplace, _E.seller, _E.kind, _E.record_time)
    .where(_E.sequence > bindparam("after"), _E.sequence <= bindparam("last"))
    .order_by(_E.sequence)
    .limit(bindparam("limit"))
)
_OF_SELLER = _AFTER.where(_E.marketplace == bindparam("marketplace"), _E.seller == bindparam("seller"))
_SEAL_AT = (
    select(SEAL.c.last_sequence, SEAL.c.chain)
    .where(SEAL.c.first_sequence <= bindparam("sequence"))
    .order_by(SEAL.c.first_sequence.desc())
    .limit(1)
)


class Change(NamedTuple):
    """Whom an entry concerns."""

    sequence: int
    marketplace: str
    seller: str
    """Empty for an entry of no seller."""
    kind: int
    record_time: int = 0
    """When it was recorded, in microseconds."""


class Tip(NamedTuple):
    """The end of the ledger at some moment: always the end of an append."""

    sequence: int
    """The last sequence; 0 if there is none."""
    record_time: int
    """Its record time, in microseconds; 0 if there is none."""


class ChangeReads:
    """The part of the ledger that a follower reads."""

    _database: Database
    _clock: LedgerClock
    _end_seen: tuple[int | None, int, int] = (None, 0, 0)
    """The database's clock as it was last read, if it has one; when, by the steady clock; the last record time then."""

    if TYPE_CHECKING:

        def _end(self) -> appending.LedgerEnd: ...

    def now(self) -> int:
        """Return the present in microseconds, without a query to the database.

        By the database's clock as it was last read, if it has one.
        """
        clock, seen, _ = self._end_seen
        return self._clock.now(None if clock is None else clock + steady_clock() - seen)

    def doubt(self) -> int:
        """Return how old an answer may be because the clock is in doubt, in microseconds; 0 if nothing contradicts it.

        Held against the end of the ledger as it was last read.
        """
        clock, seen, record_time = self._end_seen
        return self._clock.doubt(None if clock is None else clock + steady_clock() - seen, record_time)

    def settled(self) -> int | None:
        """Return a time before which all that was recorded is seen by later reads; None while a write is under way.

        In microseconds.
        """
        follows_database = self._clock.is_witnessed and not self._database.is_sqlite
        return self._database.read_settled_clock(None if follows_database else partial(self._clock.now, None))

    def _note_end(self, end: appending.LedgerEnd) -> None:
        """Keep the end of the ledger, and the database's clock, as they were just read."""
        self._end_seen = (end.clock, steady_clock(), end.record_time)

    def tip(self) -> Tip:
        """Return where the ledger ends: its last sequence and record time."""
        end = self._end()
        return Tip(end.sequence, end.record_time)

    def chain_at(self, sequence: int) -> bytes | None:
        """Return the chain of the seal that ends with a sequence; None if no seal ends there."""
        if sequence == 0:
            return GENESIS
        with self._database.read() as connection:
            row = connection.execute(_SEAL_AT, {"sequence": sequence}).first()
        return bytes(row[1]) if row is not None and row[0] == sequence else None

    def changes(self, after: int, last: int, limit: int) -> list[Change]:
        """Return the seller and kind of the next `limit` entries after a sequence, up to `last`.

        A change for each, in their order.
        """
        with self._database.read() as connection:
            found = connection.execute(_AFTER, {"after": after, "last": last, "limit": limit})
            return [Change(*row) for row in found]

    def changes_of_seller(self, marketplace: str, seller: str, after: int, last: int) -> list[Change]:
        """Return a change for each entry of a seller after a sequence, up to `last`, in their order."""
        values = {"marketplace": marketplace, "seller": seller, "after": after, "last": last, "limit": _ALL}
        with self._database.read() as connection:
            return [Change(*row) for row in connection.execute(_OF_SELLER, values)]

    def listen(self, listener: Callable[[Sequence[Change]], None]) -> Callable[[], None]:
        """Register a listener for the changes of this object's own appends; return how to remove it.

        It is called with those of each append once that is committed. What other processes append, and what was committed
        although the database did not answer, is not among it.
        """

        def hear(rows: Sequence[Sequence[object]]) -> None:
            places = [PLACE[name] for name in Change._fields]
            listener([Change(*(row[place] for place in places)) for row in rows])  # type: ignore[arg-type]

        def end() -> None:
            with suppress(ValueError):  # it was ended before
                self._database.listeners.remove(hear)

        self._database.listeners.append(hear)
        return end
