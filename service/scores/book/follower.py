"""The follower: one thread that takes the ledger's new entries in order, marks whom they concern, then moves the watermark.

It alone moves the watermark. Whatever fails is counted and tried again; how long ago it last succeeded, by a clock that
nobody can set, says how fresh the book is: a follower that is stuck looks like a quiet ledger otherwise.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple, Protocol

from scoring.enums import Kind
from scoring.errors import LedgerUnavailable
from scoring.time import SECOND
from service.contract.resource_names import seller_name
from service.ledger.clock.server_clock import steady_clock
from service.ledger.queries.changes import Change, Tip
from service.scores.book.generations import Generation, Generations
from service.scores.book.table import UNKNOWN, Table

POLL_SECONDS = 0.2
"""How long after a look at the ledger the next one begins. What this process appends is looked for at once."""

PAGE = 5_000
"""Entries that are read at a time."""

PAGES_OF_GENERATIONS = 4
"""Pages that a look reads for generations which have joined, so that it stays short."""

FOR_ALL = frozenset({int(Kind.CLOCK)})
"""Kinds of entries that concern more than their seller."""


SILENT_SECONDS = 1.5
"""How long a look may go without an answer of the database until that counts as away: before what is remembered ends being
fresh, since whoever came in between would wait for the database."""


class Beat(NamedTuple):
    """The last look that came to its end. In microseconds."""

    steady: int
    """When it began, by the steady clock."""
    time: int
    """What was recorded before this time is marked, by record times: commits that were under way are not overlooked."""
    doubt: int = 0
    """How old answers may be since the ledger's clock is in doubt; 0 if it is not."""


class Followed(Protocol):
    """The part of a ledger that is followed."""

    def settled(self) -> int | None:
        """Return a time, in microseconds, before which all that was recorded is seen by later reads.

        None while a write is under way.
        """

    def doubt(self) -> int:
        """Return how old an answer may be because the clock is in doubt, in microseconds; 0 if nothing contradicts it."""

    def tip(self) -> Tip:
        """Return where the ledger ends."""

    def chain_at(self, sequence: int) -> bytes | None:
        """Return the chain of the seal that ends with a sequence; None if no seal ends there."""

    def changes(self, after: int, last: int, limit: int) -> list[Change]:
        """Return the sellers concerned by the next `limit` entries after a sequence, up to `last`.

        A change for each, in their order.
        """


class Joining(NamedTuple):
    """A generation in which entries are missing that came before it joined."""

    generation: Generation
    after: int
    """The last of them that is marked."""
    last: int
    """The last of them, the watermark at which it joined: whatever comes later is marked as it comes."""


class Watermark(NamedTuple):
    """Up to where the marks of the table reflect one ledger: always the end of an append."""

    sequence: int
    record_time: int
    """The record time of that sequence, in microseconds; 0 without an entry."""
    chain: bytes
    """The chain of the seal that ends there: another ledger has another."""

    @property
    def known_time(self) -> int:
        """Return the known time of a cut at this sequence, in microseconds."""
        return self.record_time + 1


class Follower:
    """Follows a ledger for a table.

    `moved` gets each sequence that is seen, `lost` the end of a ledger that lost entries, `report` each new problem, once.
    """

    def __init__(
        self,
        ledger: Followed,
        table: Table,
        generations: Generations,
        moved: Callable[[int], None] = lambda _: None,
        lost: Callable[[int], None] = lambda _: None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._table = table
        self._generations = generations
        self._arrived: deque[Generation] = deque()
        self._joining: deque[Joining] = deque()
        self._moved = moved
        self._lost = lost
        self._report = report
        self._changed = threading.Condition()
        self._wanted = threading.Event()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="book-follower", daemon=True)
        self.watermark: Watermark | None = None
        """Up to where the table reflects the ledger; None until it was seen. Read it before the answer it is held against."""
        self.heartbeat: Beat | None = None
        """When the last look began that came to its end; None before the first."""
        self._asked: int | None = None  # since when an answer of the database is waited for, by the steady clock
        self._is_refused = False
        self.failures = self.restarts = 0
        """Looks that failed; ledgers that turned out to be another than the one followed."""
        self.problem = ""
        """What the last look failed of; empty if it did not."""

    def start(self) -> None:
        """Start the thread that follows the ledger."""
        self._thread.start()

    def close(self, seconds: float | None = None) -> None:
        """End the thread; wait at most `seconds` for a look that is under way."""
        self._is_ending = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def join(self, generation: Generation) -> None:
        """Let a generation be answered from, if its chain is the ledger's; else `is_foreign` is set in it."""
        self._arrived.append(generation)
        self.wake()

    def wake(self) -> None:
        """Make the thread look at the ledger now."""
        self._wanted.set()

    def is_fresh(self, seconds: float) -> bool:
        """Return whether the table was up to date in the last `seconds`, by a clock that nothing contradicts."""
        beat = self.heartbeat
        return beat is not None and not beat.doubt and steady_clock() - beat.steady <= seconds * SECOND

    def age(self) -> float:
        """Return the seconds since the table was last up to date; infinite if it never was."""
        beat = self.heartbeat
        return float("inf") if beat is None else (steady_clock() - beat.steady) / SECOND

    @property
    def is_away(self) -> bool:
        """Return whether the ledger's database is away.

        It refused the last look, or leaves this one without an answer. A follower that lags, or fails of something else,
        does not mean that.
        """
        asked = self._asked
        return self._is_refused or (asked is not None and steady_clock() - asked > SILENT_SECONDS * SECOND)

    def reach(self, sequence: int, seconds: float) -> bool:
        """Wait at most `seconds` until the watermark has come to a sequence; return whether it has."""
        self.wake()
        with self._changed:
            return self._changed.wait_for(lambda: self.has(sequence) or self._is_ending, seconds) and self.has(sequence)

    def has(self, sequence: int) -> bool:
        """Return whether the watermark has come to a sequence."""
        mark = self.watermark
        return mark is not None and mark.sequence >= sequence

    def look(self) -> None:
        """Read what is new in the ledger, and mark the sellers concerned in the table.

        Raises what the ledger's methods raise; what was not read then is read the next time.
        """
        self._asked = began = steady_clock()
        try:
            settled = self._ledger.settled()
            self._look()
            self.heartbeat = self._beat(began, settled)
        finally:
            self._asked = None

    def _beat(self, began: int, settled: int | None) -> Beat:
        """Return the beat of a look that began at a time of the steady clock."""
        before, mark, doubt = self.heartbeat, self.watermark, self._ledger.doubt()
        time = mark.known_time if mark else 0  # record times only grow, by whatever clock
        if not doubt:
            time = max(time, (before.time if before else 0) if settled is None else settled)
        elif before is None or not before.doubt:
            self._report("the clock is in doubt, and no answer is fresh until it is right again: sellertrust doctor")
        return Beat(began, time, doubt)

    def _look(self) -> None:
        before, tip = self.watermark, self._ledger.tip()
        if before is None:
            self._restart(tip)
        else:
            if tip.sequence > before.sequence:
                self._take(before.sequence, tip.sequence)
            chain = self._ledger.chain_at(before.sequence)  # read last: whatever was taken is of this ledger
            if chain != before.chain:
                self.restarts += 1
                self._report(
                    f"the ledger ends at {tip.sequence}, and has lost or changed entry {before.sequence}, which was read"
                )
                self.watermark = self.heartbeat = None
                self._forget(UNKNOWN)
                tip = self._ledger.tip()
                self._restart(tip)
                self._lost(tip.sequence)
            elif tip.sequence > before.sequence:
                self._move(tip)
        if self.watermark is not None:
            self._let_join(self.watermark)

    def _let_join(self, mark: Watermark) -> None:
        """Take in the generations that have arrived, and mark some more of what their answers lack."""
        while self._arrived:
            generation = self._arrived[0]
            chain = self._ledger.chain_at(generation.head.sequence)
            self._arrived.popleft()
            if chain is None or chain.hex() != generation.head.chain:
                generation.is_foreign = True
                continue
            self._generations.add(generation)
            self._joining.append(Joining(generation, generation.head.sequence, mark.sequence))
        for _ in range(PAGES_OF_GENERATIONS):
            if not self._joining:
                return
            generation, after, last = self._joining[0]
            page = self._page(after, last) if after < last else []
            mark_epochs(self._table, page)
            for name, sequence in sellers_of(page):
                generation.end(name, sequence)
            self._joining[0] = Joining(generation, page[-1].sequence if page else last, last)
            if self._joining[0].after >= last:
                generation.is_complete = True
                self._joining.popleft()
        if self._joining:
            self.wake()

    def _take(self, after: int, last: int) -> None:
        """Mark whom the entries after a sequence, up to `last`, concern."""
        while after < last:
            page = self._page(after, last)
            mark_changes(self._table, self._generations, page)
            after = page[-1].sequence

    def _page(self, after: int, last: int) -> list[Change]:
        """Return the next changes after a sequence, up to `last`, of which there is at least one."""
        page = self._ledger.changes(after, last, PAGE)
        self._asked = steady_clock()
        if not page:
            raise RuntimeError(f"the ledger ends at {last}, and nothing after {after} is read")
        return page

    def _restart(self, tip: Tip) -> None:
        """Begin anew with a ledger as it ends now: nothing is known of what came before."""
        self._forget(tip.sequence)
        self._move(tip)

    def _forget(self, floor: int) -> None:
        self._joining.clear()
        self._generations.clear()
        self._table.clear(floor)

    def _move(self, tip: Tip) -> None:
        chain = self._ledger.chain_at(tip.sequence)
        if chain is None:
            raise RuntimeError(f"no seal ends at {tip.sequence}, where the ledger ended")
        with self._changed:
            self.watermark = Watermark(tip.sequence, tip.record_time, chain)
            self._changed.notify_all()
        self._moved(tip.sequence)

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


def mark_changes(table: Table, generations: Generations, changes: Sequence[Change]) -> None:
    """Mark the answers that changes end, of the sellers concerned or of all, in generations and in the table.

    In this order: an answer that comes from a generation into the table in between is marked there.
    """
    mark_epochs(table, changes)
    entries = sellers_of(changes)
    generations.mark(entries)
    table.mark(entries)


def mark_epochs(table: Table, changes: Sequence[Change]) -> None:
    """Mark the changes that concern every seller."""
    for change in changes:
        if change.kind in FOR_ALL:
            table.start_epoch(change.sequence)


def sellers_of(changes: Sequence[Change]) -> list[tuple[str, int]]:
    """Return (resource name, sequence) of the sellers whom changes concern, the newest of each."""
    found = {(change.marketplace, change.seller): change.sequence for change in changes if change.seller}
    return [(seller_name(marketplace, seller), sequence) for (marketplace, seller), sequence in found.items()]
