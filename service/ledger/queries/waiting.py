"""What waits: read once, then brought forward by new entries."""

import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Select

from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.clock.mending import Mending
from service.ledger.database.tables import RowReader
from service.ledger.queries.seals import SealQueries
from service.ledger.records import Cut

ALL = 2**62
MAX_KEPT = 10_000
"""Marketplaces."""

MAX_CHANGED = 5_000
"""Changed names that are brought forward; beyond, all rows are read again."""

WAIT_SECONDS = 1.0
LOCKS = 64
"""Marketplaces whose names have the same hash share a lock."""

V = TypeVar("V")
R = TypeVar("R")


class _KeptState(NamedTuple):
    sequence: int
    chain: bytes
    mendings: tuple[Mending, ...]
    value: Any


class KeptValue(Generic[V]):
    """One value a marketplace. Thread-safe.

    `make` reads it whole. `changed`: the names in entries beyond `after`. `replace` changes it by the rows that `named`
    had and has for these names, or returns False: read it again.
    """

    def __init__(
        self,
        clock: LedgerClock,
        make: Callable[[RowReader], V],
        changed: Select[Any],
        named: Select[Any],
        replace: Callable[[V, Sequence[Any], Sequence[Any]], bool],
    ) -> None:
        self._clock, self._seals = clock, SealQueries(clock)
        self._make, self._changed, self._named, self._replace = make, changed, named, replace
        self._kept: dict[str, _KeptState] = {}
        self._lock = threading.Lock()
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def use(self, marketplace: str, cut: Cut, use: Callable[[V, RowReader], R]) -> R:
        """Return what `use` makes of the value as of a cut."""
        chain = self._seals.chain_at(cut.sequence) if cut.observe_time >= cut.known_time else None
        lock = self._locks[hash(marketplace) % LOCKS]
        if chain is not None and lock.acquire(timeout=WAIT_SECONDS):
            try:
                remembered = self._kept.get(marketplace)
                if remembered is None or remembered.sequence - cut.sequence <= MAX_CHANGED:
                    return self._use_kept(marketplace, cut, chain, use)
            finally:
                lock.release()
        with self._clock.open_reader(marketplace, cut) as reader:
            return use(self._make(reader), reader)

    def _use_kept(self, marketplace: str, cut: Cut, chain: bytes, use: Callable[[V, RowReader], R]) -> R:
        with self._lock:
            remembered = self._kept.pop(marketplace, None)
        mendings = self._clock.list_mendings(cut.sequence)
        if remembered and (
            remembered.mendings != mendings or self._seals.chain_at(remembered.sequence) != remembered.chain
        ):
            remembered = None
        with self._clock.open_reader(marketplace, cut) as reader:
            is_current = remembered is not None and self._bring_to_cut(remembered, reader)
            value = remembered.value if remembered is not None and is_current else self._make(reader)
            result = use(value, reader)
        with self._lock:
            self._kept[marketplace] = _KeptState(cut.sequence, chain, mendings, value)
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return result

    def _bring_to_cut(self, remembered: _KeptState, reader: RowReader) -> bool:
        """Bring the value forward or back to the reader's cut; return whether that succeeded."""
        latest = replace(reader, last=max(remembered.sequence, reader.last))
        names = {name for (name,) in latest.rows(self._changed, after=min(remembered.sequence, reader.last))}
        if len(names) > MAX_CHANGED:
            return False
        then = RowReader(reader.connection, reader.marketplace, remembered.sequence)
        former, now = (one.rows(self._named, names, limit=ALL) for one in (then, reader))
        return self._replace(remembered.value, former, now)


class _ListedRows(NamedTuple):
    rows: list[Any]
    end: Any
    """The last row that was read; None if all were."""


class WaitingList:
    """A row begins with its order. `named`: the query, of `names` only. `most`: rows that readers need."""

    def __init__(
        self,
        clock: LedgerClock,
        query: Select[Any],
        named: Select[Any],
        changed: Select[Any],
        most: int = ALL,
        make: Callable[[Any], Any] = tuple,
    ) -> None:
        self._query, self._most, self._make = query, most, make
        self._kept = KeptValue(clock, self._read_all, changed, named, self._replace)

    def read(self, marketplace: str, cut: Cut) -> Sequence[Any]:
        """Return the rows as of a cut, in order: all, or at least `most`."""
        return self._kept.use(marketplace, cut, lambda waiting, _: waiting.rows[:])

    def _read_all(self, reader: RowReader) -> _ListedRows:
        limit = min(2 * self._most, ALL)
        rows = sorted(map(self._make, reader.rows(self._query, limit=limit)))
        return _ListedRows(rows, rows[-1] if len(rows) == limit else None)

    def _replace(self, waiting: _ListedRows, former: Sequence[Any], now: Sequence[Any]) -> bool:
        rows, end = waiting
        for row in map(self._make, former):
            index = bisect_left(rows, row)
            if rows[index : index + 1] == [row]:
                del rows[index]
        for row in map(self._make, now):
            if end is None or row <= end:
                insort(rows, row)
        return len(rows) <= 4 * self._most and (end is None or len(rows) >= self._most)
