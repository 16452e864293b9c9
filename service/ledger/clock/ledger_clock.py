"""The present of one open ledger: where it ends, what time it is there, and which record times are put right."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, func, literal_column, select

from service.ledger.clock import mending
from service.ledger.clock.server_clock import Present, ServerClock, require_no_gap, steady_clock
from service.ledger.database.database import CLOCK, Database, lock_time
from service.ledger.database.tables import ENTRY

_E = ENTRY.c
_LAST = select(_E.sequence, _E.record_time).order_by(_E.sequence.desc()).limit(1)
_END = select(func.max(_E.sequence))
_ENDS = {
    is_asked: select(
        _END.scalar_subquery(),
        select(_E.record_time).where(_E.sequence == _END.scalar_subquery()).scalar_subquery(),
        mending.LATEST.scalar_subquery(),
        literal_column(CLOCK if is_asked else "NULL"),
    )
    for is_asked in (False, True)
}


class LedgerEnd(NamedTuple):
    """The end of the ledger at some moment: always the end of an append."""

    sequence: int
    """The last sequence; 0 if there is none."""
    record_time: int
    """Its record time, in microseconds; 0 if there is none."""
    mended: int
    """The sequence of the last entry that puts record times right; 0 if there is none."""
    clock: int | None
    """The database's clock, in microseconds; None if it was not asked."""


class LedgerClock:
    """The clock of one open ledger. Any number of threads may use it."""

    def __init__(self, database: Database, server: ServerClock) -> None:
        self.database = database
        self.server = server
        self._known = (0, mending.Mendings())  # up to which sequence it is known what was mended, and that
        self._end_seen: tuple[int | None, int, int] = (None, 0, 0)
        """The database's clock as it was last read, if it has one; when, by the steady clock; the last record time then."""

    @property
    def seen_sequence(self) -> int:
        """Return the last sequence that was read: up to it, `mendings` are known."""
        return self._known[0]

    @property
    def mendings(self) -> mending.Mendings:
        """Return the corrections of record times that are known."""
        return self._known[1]

    def now(self) -> int:
        """Return the present in microseconds, without a query to the database.

        By the database's clock as it was last read, if it has one.
        """
        return self.server.now(self._extrapolate())

    def doubt(self) -> int:
        """Return how old an answer may be because the clock is in doubt, in microseconds; 0 if nothing contradicts it.

        Held against the end of the ledger as it was last read.
        """
        return self.server.doubt(self._extrapolate(), self._end_seen[2])

    def settled(self) -> int | None:
        """Return a time before which all that was recorded is seen by later reads; None while a write is under way.

        In microseconds.
        """
        follows_database = self.server.is_witnessed and not self.database.is_sqlite
        return self.database.read_settled_clock(None if follows_database else partial(self.server.now, None))

    def end(self) -> LedgerEnd:
        """Read where the ledger ends, the database's clock if it counts, and what is new of record times put right."""
        with self.database.read() as connection:
            is_asked = self.server.is_witnessed and not self.database.is_sqlite
            sequence, record_time, mended, clock = connection.execute(_ENDS[is_asked]).one()
            end = LedgerEnd(sequence or 0, record_time or 0, mended or 0, clock)
            self._end_seen = (end.clock, steady_clock(), end.record_time)
            seen, known = self._known
            if end.sequence > seen:
                self._known = (end.sequence, known if end.mended == known.through else mending.load(connection))
            return end

    @contextmanager
    def as_of(self, sequence: int) -> Iterator[Connection]:
        """Open a connection that reads the times of entries as what is known up to the sequence puts them right."""
        if sequence > self.seen_sequence:
            self.end()
        known = self.mendings.as_of(sequence)
        with self.database.read() as connection, mending.read_mended_times(connection, known):
            yield connection

    def present(self, end: LedgerEnd) -> Present:
        """Return the present for an append, by a clock that nothing contradicts. ClockInDoubt."""
        present = self.server.present(end.clock)
        require_no_gap(present, end.record_time)
        return self._present_by(present.clock)

    @contextmanager
    def locked(self, before: Present) -> Iterator[tuple[Connection, Present]]:
        """Open a transaction that has the ledger's lock; yield its connection and the present.

        The present is not before the one that the entries were checked against, `before`. ClockInDoubt.
        """
        with self.database.write() as connection:
            present = self.server.present(lock_time(connection) if self.server.is_witnessed else None)
            yield connection, self._present_by(max(before.clock, present.clock))

    def _present_by(self, clock: int) -> Present:
        known = self.mendings.all
        return Present(clock, tuple(mended.taken for mended in known), mendings=known)

    def _extrapolate(self) -> int | None:
        """Return the database's clock of now, from when it was last read; None if it has none."""
        clock, seen, _ = self._end_seen
        return None if clock is None else clock + steady_clock() - seen


def last_entry(connection: Connection) -> tuple[int, int]:
    """Return (sequence, record_time) of the ledger's last entry; (0, 0) if there is none.

    In microseconds.
    """
    row = connection.execute(_LAST).first()
    return (0, 0) if row is None else (row[0], row[1])
