"""The follower: one thread that reads the ledger's new entries, marks their sellers, then moves the watermark.

The time since its last success, by the monotonic clock, says how fresh the book is; otherwise a stuck follower would
look like a quiet ledger.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

from scoring.base.enums import Kind
from scoring.base.errors import LedgerUnavailable
from scoring.base.time import SECOND
from sellertrust.names import seller_name
from service.ledger.clock.ledger_clock import LedgerEnd
from service.ledger.clock.server_clock import steady_clock
from service.ledger.queries.changes import LedgerChange
from service.ledger.store import Ledger
from service.scores.book.generations import Generation, Generations
from service.scores.book.table import UNKNOWN, AnswerTable

POLL_SECONDS = 0.2
"""This process's own appends are read at once."""

PAGE = 5_000

PAGES_OF_GENERATIONS = 4

KINDS_ABOUT_ALL = frozenset({int(Kind.CLOCK)})


SILENT_SECONDS = 1.5
"""Longer silence means that the database is away; shorter than the fresh time."""


class Beat(NamedTuple):
    steady: int
    """Its start by the monotonic clock."""
    time: int
    """Everything recorded before this time is marked, commits that were running then included."""
    doubt: int = 0


class CatchUp(NamedTuple):
    """Entries whose marks a joined generation still lacks: those `after` one, up to `last`."""

    generation: Generation
    after: int
    last: int


class Watermark(NamedTuple):
    """The sequence up to which marks reflect one ledger: always the end of an append."""

    sequence: int
    record_time: int
    """In microseconds; 0 without an entry."""
    chain: bytes
    """The chain of the seal that ends there; another ledger has another chain."""

    @property
    def known_time(self) -> int:
        """Return the first microsecond after the record time."""
        return self.record_time + 1


class Follower:
    """Marks ended answers.

    `moved` gets each sequence read, `lost` the end of a ledger that lost entries, `report` each new problem once.
    """

    def __init__(
        self,
        ledger: Ledger,
        table: AnswerTable,
        generations: Generations,
        moved: Callable[[int], None] = lambda _: None,
        lost: Callable[[int], None] = lambda _: None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._table = table
        self._generations = generations
        self._arrived: deque[Generation] = deque()
        self._catch_ups: deque[CatchUp] = deque()
        self._moved = moved
        self._lost = lost
        self._report = report
        self._changed = threading.Condition()
        self._wanted = threading.Event()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="book-follower", daemon=True)
        self.watermark: Watermark | None = None
        self.heartbeat: Beat | None = None
        self._asked_at: int | None = None
        self._is_refused = False
        self.failures = self.restarts = 0
        self.problem = ""

    def start(self) -> None:
        self._thread.start()

    def close(self, seconds: float | None = None) -> None:
        self._is_ending = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def join(self, generation: Generation) -> None:
        """Let the thread answer from a generation if its chain is the ledger's; otherwise it sets `is_foreign`."""
        self._arrived.append(generation)
        self.wake()

    def wake(self) -> None:
        self._wanted.set()

    def is_fresh(self, seconds: float) -> bool:
        """Return whether the table was current in the last `seconds` and the clock is not in doubt."""
        beat = self.heartbeat
        return beat is not None and not beat.doubt and steady_clock() - beat.steady <= seconds * SECOND

    def age(self) -> float:
        """Return the seconds since the table was current; infinite if it never was."""
        beat = self.heartbeat
        return float("inf") if beat is None else (steady_clock() - beat.steady) / SECOND

    @property
    def is_away(self) -> bool:
        """Return whether the database refused the last reading, or does not answer this one."""
        asked_at = self._asked_at
        return self._is_refused or (asked_at is not None and steady_clock() - asked_at > SILENT_SECONDS * SECOND)

    def reach(self, sequence: int, seconds: float) -> bool:
        """Wait at most `seconds`; return whether the watermark has the sequence."""
        self.wake()
        with self._changed:
            return self._changed.wait_for(lambda: self.has(sequence) or self._is_ending, seconds) and self.has(sequence)

    def has(self, sequence: int) -> bool:
        mark = self.watermark
        return mark is not None and mark.sequence >= sequence

    def look(self) -> None:
        """Read new entries and mark their sellers. Raises the ledger's errors."""
        self._asked_at = began = steady_clock()
        try:
            settled = self._ledger.clock.settled()
            self._read_ledger()
            self.heartbeat = self._make_beat(began, settled)
        finally:
            self._asked_at = None

    def _make_beat(self, began: int, settled: int | None) -> Beat:
        """Return the heartbeat of a look; while the clock is in doubt its time is that of the watermark."""
        before, mark, doubt = self.heartbeat, self.watermark, self._ledger.clock.doubt()
        time = mark.known_time if mark else 0
        if not doubt:
            if settled is None:  # a write is running
                settled = before.time if before else 0
            time = max(time, settled)
        elif before is None or not before.doubt:
            self._report("the clock is in doubt, and no answer is fresh until it is right again: sellertrust doctor")
        return Beat(began, time, doubt)

    def _read_ledger(self) -> None:
        earlier_mark, end = self.watermark, self._ledger.clock.read_end()
        if earlier_mark is None:
            self._restart(end)
        else:
            if end.sequence > earlier_mark.sequence:
                self._mark_entries(earlier_mark.sequence, end.sequence)
            chain = self._ledger.seals.chain_at(earlier_mark.sequence)  # read last: everything marked is of this ledger
            if chain != earlier_mark.chain:
                self.restarts += 1
                self._report(
                    f"the ledger ends at {end.sequence}, and has lost or changed entry {earlier_mark.sequence}, which was"
                    " read"
                )
                self.watermark = self.heartbeat = None
                self._forget(UNKNOWN)
                end = self._ledger.clock.read_end()
                self._restart(end)
                self._lost(end.sequence)
            elif end.sequence > earlier_mark.sequence:
                self._move_watermark(end)
        if self.watermark is not None:
            self._join_generations(self.watermark)

    def _join_generations(self, mark: Watermark) -> None:
        """Add arrived generations of this ledger. Then end, some pages a look, their answers that entries changed."""
        while self._arrived:
            generation = self._arrived[0]
            chain = self._ledger.seals.chain_at(generation.head.sequence)
            self._arrived.popleft()
            if chain is None or chain.hex() != generation.head.chain:
                generation.is_foreign = True
                continue
            self._generations.add(generation)
            self._catch_ups.append(CatchUp(generation, generation.head.sequence, mark.sequence))
        for _ in range(PAGES_OF_GENERATIONS):
            if not self._catch_ups:
                return
            generation, after, last = self._catch_ups[0]
            page = self._read_page(after, last) if after < last else []
            mark_epochs(self._table, page)
            for name, sequence in find_last_sequences(page):
                generation.end_answer_if_any(name, sequence)
            self._catch_ups[0] = CatchUp(generation, page[-1].sequence if page else last, last)
            if self._catch_ups[0].after >= last:
                generation.is_complete = True
                self._catch_ups.popleft()
        if self._catch_ups:
            self.wake()

    def _mark_entries(self, after: int, last: int) -> None:
        while after < last:
            page = self._read_page(after, last)
            mark_changes(self._table, self._generations, page)
            after = page[-1].sequence

    def _read_page(self, after: int, last: int) -> Sequence[LedgerChange]:
        page = self._ledger.changes.list(after, last, PAGE)
        self._asked_at = steady_clock()
        if not page:
            raise RuntimeError(f"the ledger ends at {last}, and nothing after {after} is read")
        return page

    def _restart(self, end: LedgerEnd) -> None:
        self._forget(end.sequence)
        self._move_watermark(end)

    def _forget(self, floor: int) -> None:
        self._catch_ups.clear()
        self._generations.clear()
        self._table.clear(floor)

    def _move_watermark(self, end: LedgerEnd) -> None:
        chain = self._ledger.seals.chain_at(end.sequence)
        if chain is None:
            raise RuntimeError(f"no seal ends at {end.sequence}, where the ledger ended")
        with self._changed:
            self.watermark = Watermark(end.sequence, end.record_time, chain)
            self._changed.notify_all()
        self._moved(end.sequence)

    def _run(self) -> None:
        while not self._is_ending:
            self._wanted.clear()
            began = monotonic()
            try:
                self.look()
                self.problem, self._is_refused = "", False
            except Exception as error:  # noqa: BLE001 (whatever it is, the next look may succeed)
                self.failures += 1
                self._is_refused = isinstance(error, LedgerUnavailable)
                problem = f"{type(error).__name__}: {error}"
                if problem != self.problem:
                    self.problem = problem
                    self._report(problem)
            self._wanted.wait(max(0.0, POLL_SECONDS - (monotonic() - began)))


def mark_changes(table: AnswerTable, generations: Generations, changes: Sequence[LedgerChange]) -> None:
    """Mark the answers that changes end, in generations and then in the table.

    So an answer that moves into the table meanwhile is marked there.
    """
    mark_epochs(table, changes)
    entries = find_last_sequences(changes)
    generations.end_answers(entries)
    table.mark(entries)


def mark_epochs(table: AnswerTable, changes: Sequence[LedgerChange]) -> None:
    """End all remembered answers at changes that concern all sellers: corrections of the clock."""
    for change in changes:
        if change.kind in KINDS_ABOUT_ALL:
            table.start_epoch(change.sequence)


def find_last_sequences(changes: Sequence[LedgerChange]) -> list[tuple[str, int]]:
    """Return (resource name, last sequence) of each seller among the changes."""
    last_sequences = {(change.marketplace, change.seller): change.sequence for change in changes if change.seller}
    return [(seller_name(marketplace, seller), sequence) for (marketplace, seller), sequence in last_sequences.items()]
