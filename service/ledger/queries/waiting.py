"""What waits: read once, then brought forward by new entries."""

import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select

from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.clock.mending import Mending
from service.ledger.database.row_reader import RowReader
from service.ledger.queries.seals import SealQueries
from service.ledger.records import Cut

ALL = 2**62
MAX_KEPT = 10_000
"""Marketplaces."""

MAX_CHANGED = 5_000
"""Changed names that are brought forward; beyond, all rows are read again."""

WAIT_SECONDS = 1.0


@dataclass(slots=True)
class _Waiting:
    sequence: int
    chain: bytes
    mendings: tuple[Mending, ...]
    rows: list[Any] = field(default_factory=list)
    by_name: dict[str, list[Any]] = field(default_factory=dict)
    end: Any = None
    """The last row that was read; None if all were."""

    def replace(self, names: Iterable[str], rows: Iterable[Any], place: int) -> None:
        for name in names:
            for row in self.by_name.pop(name, ()):
                del self.rows[bisect_left(self.rows, row)]
        for row in rows:
            if self.end is None or row <= self.end:
                insort(self.rows, row)
                self.by_name.setdefault(row[place], []).append(row)


class WaitingList:
    """Thread-safe. A row begins with its order; its name is at `place`.

    `named`: the query, of `names` only, without order and limit. `changed`: the names in entries beyond `after`. `most`:
    rows that readers need.
    """

    def __init__(
        self,
        clock: LedgerClock,
        query: Select[Any],
        named: Select[Any],
        changed: Select[Any],
        place: int,
        most: int = ALL,
        make: Callable[[Any], Any] = tuple,
    ) -> None:
        self._clock, self._seals = clock, SealQueries(clock)
        self._query, self._named, self._changed = query, named, changed
        self._place, self._most, self._make = place, most, make
        self._kept: dict[str, _Waiting] = {}
        self._lock = threading.Lock()

    def read(self, marketplace: str, cut: Cut) -> Sequence[Any]:
        """Return the rows as of a cut, in order: all, or at least `most`."""
        chain = self._seals.chain_at(cut.sequence) if cut.observe_time >= cut.known_time else None
        if chain is not None and self._lock.acquire(timeout=WAIT_SECONDS):
            try:
                kept = self._kept.get(marketplace)
                if kept is None or kept.sequence <= cut.sequence:
                    return self._read_kept(kept, marketplace, cut, chain).rows[:]
            finally:
                self._lock.release()
        return self._read_all(marketplace, cut, b"").rows

    def _read_kept(self, kept: _Waiting | None, marketplace: str, cut: Cut, chain: bytes) -> _Waiting:
        self._kept.pop(marketplace, None)
        if kept is None or not self._bring_forward(kept, marketplace, cut, chain):
            kept = self._read_all(marketplace, cut, chain)
        self._kept[marketplace] = kept
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return kept

    def _bring_forward(self, kept: _Waiting, marketplace: str, cut: Cut, chain: bytes) -> bool:
        """Return whether that succeeded."""
        is_same_ledger = self._seals.chain_at(kept.sequence) == kept.chain
        if not is_same_ledger or kept.mendings != self._clock.list_mendings(cut.sequence):
            return False
        with self._clock.open_reader(marketplace, cut) as reader:
            names = {name for (name,) in reader.rows(self._changed, after=kept.sequence)}
            if len(names) > MAX_CHANGED:
                return False
            kept.replace(names, self._rows(reader, self._named, names, ALL), self._place)
        kept.sequence, kept.chain = cut.sequence, chain
        return len(kept.rows) <= 4 * self._most and (kept.end is None or len(kept.rows) >= self._most)

    def _read_all(self, marketplace: str, cut: Cut, chain: bytes) -> _Waiting:
        found = _Waiting(cut.sequence, chain, self._clock.list_mendings(cut.sequence))
        limit = min(2 * self._most, ALL)
        with self._clock.open_reader(marketplace, cut) as reader:
            rows = self._rows(reader, self._query, ("",), limit)
        found.replace((), rows, self._place)
        found.end = rows[-1] if len(rows) == limit else None
        return found

    def _rows(self, reader: RowReader, query: Select[Any], names: Iterable[str], limit: int) -> list[Any]:
        return [self._make(row) for row in reader.rows(query, list(names), limit=limit)]
