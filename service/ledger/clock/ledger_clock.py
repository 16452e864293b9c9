from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable, func, literal_column, select

from service.ledger.clock import mending
from service.ledger.clock.server_clock import Present, ServerClock, require_no_gap, steady_clock
from service.ledger.database.database import CLOCK, Database, lock_time
from service.ledger.database.rows import PLACE
from service.ledger.database.tables import ENTRY, RowReader
from service.ledger.records import Cut

_E = ENTRY.c
_LAST = select(_E.sequence, _E.record_time).order_by(_E.sequence.desc()).limit(1)
_END = select(func.max(_E.sequence))
_ENDS = {
    with_clock: select(
        _END.scalar_subquery(),
        select(_E.record_time).where(_E.sequence == _END.scalar_subquery()).scalar_subquery(),
        mending.LATEST.scalar_subquery(),
        literal_column(CLOCK if with_clock else "NULL"),
    )
    for with_clock in (False, True)
}


class LastEntry(NamedTuple):
    """Zeros without an entry."""

    sequence: int
    record_time: int


class LedgerEnd(NamedTuple):
    sequence: int
    record_time: int
    last_mending: int
    """Its sequence; 0 without one."""
    clock: int | None
    """PostgreSQL's, in microseconds."""


class _SeenEnd(NamedTuple):
    clock: int | None
    steady_time: int
    record_time: int


class _KnownMendings(NamedTuple):
    """Assigned as one, since threads read and write it."""

    sequence: int
    mendings: mending.Mendings


class LedgerClock:
    """Thread-safe."""

    def __init__(self, database: Database, server: ServerClock) -> None:
        self.database = database
        self.server = server
        self._known = _KnownMendings(0, mending.Mendings())
        self._end = _SeenEnd(None, 0, 0)
        self.seen_sequence = 0
        """The last one that this process has read or committed, even if the ledger has lost it."""
        database.listeners.append(lambda rows: self._note_seen(rows[-1][PLACE["sequence"]]))

    @property
    def mendings(self) -> mending.Mendings:
        return self._known.mendings

    def now(self) -> int:
        """Return the present in microseconds since 1970, without a query."""
        return self.server.now(self._extrapolate_database_clock())

    def doubt(self) -> int:
        """Return how old an answer may be, in microseconds; 0 without doubt."""
        return self.server.doubt(self._extrapolate_database_clock(), self._end.record_time)

    def settled(self) -> int | None:
        """Return a time, in microseconds, before which later reads see all records; None during a write."""
        return self.database.read_settled_clock(None if self._follows_database else partial(self.server.now, None))

    def read_end(self) -> LedgerEnd:
        """Read the last entry (zeros without one), new corrections, and PostgreSQL's clock if it counts."""
        with self.database.read() as connection:
            sequence, record_time, last_mending, clock = connection.execute(_ENDS[self._follows_database]).one()
            end = LedgerEnd(sequence or 0, record_time or 0, last_mending or 0, clock)
            self._end = _SeenEnd(end.clock, steady_clock(), end.record_time)
            self._note_seen(end.sequence)
            mendings = self._known.mendings
            if end.last_mending != mendings.through:  # less, if a promoted standby lacks the last one
                mendings = mending.load_mendings(connection)
            self._known = _KnownMendings(end.sequence, mendings)
            return end

    @property
    def _follows_database(self) -> bool:
        return self.server.is_witnessed and not self.database.is_sqlite

    @contextmanager
    def as_of(self, sequence: int) -> Iterator[Connection]:
        """Open a read with times as corrected at a sequence, later entries included."""
        mendings = self.list_mendings(sequence)
        with self.database.read() as connection, mending.read_mended_times(connection, mendings):
            yield connection

    @contextmanager
    def open_reader(self, marketplace: str, cut: Cut) -> Iterator[RowReader]:
        with self.as_of(cut.sequence) as connection:
            yield RowReader(connection, marketplace, cut.sequence, cut.observe_time)

    def list_mendings(self, sequence: int) -> tuple[mending.Mending, ...]:
        if sequence > self._known.sequence:
            self.read_end()
        return tuple(mended for mended in self.mendings.all if mended.last < sequence)

    def rows_up_to(self, sequence: int, query: Executable, **values: Any) -> Sequence[Any]:
        """Return a query's rows, with times as corrected at the sequence, its parameter `last`."""
        with self.as_of(sequence) as connection:
            return connection.execute(query, {"last": sequence, **values}).all()

    def rows_as_of(self, cut: Cut, query: Executable, **values: Any) -> Sequence[Any]:
        """Return a query's rows; its parameters `last` and `observe_time` are the cut's."""
        return self.rows_up_to(cut.sequence, query, observe_time=cut.observe_time, **values)

    def present(self, end: LedgerEnd) -> Present:
        """Return the present for an append. Raises ClockInDoubt."""
        present = self.server.present(end.clock)
        require_no_gap(present, end.record_time)
        return self._present_by(present.clock)

    @contextmanager
    def locked(self, before: Present) -> Iterator[tuple[Connection, Present]]:
        """Open a transaction under the ledger's lock; yield it and the present, not before `before`.

        Raises ClockInDoubt.
        """
        with self.database.write() as connection:
            present = self.server.present(lock_time(connection) if self.server.is_witnessed else None)
            yield connection, self._present_by(max(before.clock, present.clock))

    def _note_seen(self, sequence: int) -> None:
        self.seen_sequence = max(self.seen_sequence, sequence)

    def _present_by(self, clock: int) -> Present:
        mendings = self.mendings.all
        return Present(clock, tuple(mended.wrong_times for mended in mendings), mendings=mendings)

    def _extrapolate_database_clock(self) -> int | None:
        end = self._end
        return None if end.clock is None else end.clock + steady_clock() - end.steady_time


def last_entry(connection: Connection) -> LastEntry:
    row = connection.execute(_LAST).first()
    return LastEntry(0, 0) if row is None else LastEntry(*row)
