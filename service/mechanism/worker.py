"""The worker: follows the ledger, the day, the model and the policy, and has the recorder state how measures change.

What decides (a confirmation, an overturn, an override, a lift) is evaluated at the append that brought it, in the order of
the ledger, so that the record is the same whenever the worker ran. Settled orders are evaluated at the last of a look. A new
day, model or policy is evaluated for every seller, as of the place that the worker has come to.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from time import monotonic

from scoring.enums import Kind
from scoring.errors import LedgerUnavailable
from scoring.time import DAY
from service.ledger.changes import Change
from service.ledger.records import Cut, Position
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder

SOURCE = "mechanism"
"""The source under which the ledger keeps how far the worker has come: partition 0 the next sequence."""

LOOK_SECONDS = 1.0
PAGE = 20_000
"""Entries that are read at a time: more than one append holds, with what follows from it."""

SELLERS = 500
"""Sellers that are read at a time when all are evaluated."""

KEPT_AFTER = 1_000
"""Entries after which it is kept how far the worker has come: a restart evaluates those since again, and adds nothing."""

DECIDING = frozenset(
    {
        *(Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION, Kind.CONTROL, Kind.IDENTITY),
        *(Kind.INSPECTION, Kind.DISPUTE, Kind.OVERRIDE, Kind.MEASURE, Kind.DEPOSIT),
    }
)
"""Kinds that are evaluated at the append that brings them."""

LATELY = frozenset({Kind.EXPOSURE, Kind.FLOW})
"""Kinds that are evaluated at the last of a look: one statement more or less of a day decides nothing by itself."""


class MechanismWorker:
    """One worker. Any number may run on one ledger: what one has stated the others find."""

    def __init__(
        self, ledger: Ledger, recorder: Recorder, *, share: float = 1.0, check: Callable[[], None] = lambda: None
    ) -> None:
        """Make a worker that has not begun.

        `share`: of one core that evaluations may take, 0 to 1; `check` is called before each seller, and may raise to end.
        """
        self._ledger = ledger
        self._recorder = recorder
        self._share = share
        self._check = check
        self._stop = threading.Event()
        self._done = 0
        self.appended = 0
        """Entries that this worker has appended."""

    def stop(self) -> None:
        """Have `run` end after the seller that is being evaluated."""
        self._stop.set()

    def run(self, report: Callable[[str], None], seconds: float = LOOK_SECONDS) -> None:
        """Look again and again until `stop` is called; blocks this thread.

        A problem is reported once; while the ledger's database is away nothing is.
        """
        reported = ""
        while not self._stop.is_set():
            try:
                self.look()
                reported = ""
            except LedgerUnavailable:
                pass
            except Exception as error:  # noqa: BLE001 (whatever it is, a later look may succeed)
                problem = f"{type(error).__name__}: {error}"
                if problem != reported:
                    report(reported := problem)
            self._stop.wait(seconds)

    def look(self) -> int:
        """Bring the record up to date once; return the number of entries that were appended.

        First with the entries since the last look, then, on a new day or with another model or policy, with every seller.
        """
        before = self.appended
        reached = self._follow()
        cut = replace(self._ledger.cut(), sequence=reached)
        marker = f"{SOURCE}:{cut.observe_time // DAY}:{self._recorder.follows_from}"
        if not self._stop.is_set() and self._ledger.position(marker, 0) is None:
            for marketplace, seller in self._every_seller():
                if self._stop.is_set():
                    return self.appended - before
                self._record(marketplace, seller, cut)
            self._ledger.advance(Position(marker, 0, 1))
        return self.appended - before

    def _follow(self) -> int:
        """Evaluate what the entries since the last look decide; return the sequence up to which that is done."""
        last = self._ledger.tip().sequence
        begin = self._ledger.position(SOURCE, 0)
        if begin is None:  # what came before is evaluated with every seller
            self._keep(last)
            return last
        done = self._done = max(begin - 1, self._done)
        while done < last:
            page = _whole_appends(self._ledger.changes(done, last, PAGE), last)
            for marketplace, seller, cut in _list_evaluated(page):
                if self._stop.is_set():
                    return done
                self._record(marketplace, seller, cut)
            done = self._done = page[-1].sequence
            if done - begin >= KEPT_AFTER:
                self._keep(done)
        return done

    def _keep(self, done: int) -> None:
        self._ledger.advance(Position(SOURCE, 0, done + 1))
        self._done = done

    def _record(self, marketplace: str, seller: str, cut: Cut) -> None:
        self._check()
        began = monotonic()
        self.appended += self._recorder.record(marketplace, seller, cut)
        if self._share < 1:
            self._stop.wait((monotonic() - began) * (1 / self._share - 1))

    def _every_seller(self) -> Iterator[tuple[str, str]]:
        """Yield every seller that has an entry, with its marketplace."""
        for marketplace in self._ledger.marketplaces():
            after = ""
            while page := self._ledger.sellers_after(marketplace, after, SELLERS):
                yield from ((marketplace, seller) for seller in page if seller)
                after = page[-1]


def _whole_appends(page: Sequence[Change], last: int) -> Sequence[Change]:
    """Return a page without the entries of an append that goes on behind it. Each append has a record time of its own."""
    if page[-1].sequence == last or page[0].record_time == page[-1].record_time:
        return page
    return [change for change in page if change.record_time < page[-1].record_time]


def _list_evaluated(page: Sequence[Change]) -> Iterator[tuple[str, str, Cut]]:
    """Yield (marketplace, seller, cut) for each evaluation that a page of whole appends asks for, in the order of cuts."""
    lately: dict[tuple[str, str], None] = {}
    for record_time, group in groupby(page, key=lambda change: change.record_time):
        changes = list(group)
        cut = Cut(record_time + 1, record_time + 1, changes[-1].sequence)
        decided = {(one.marketplace, one.seller): None for one in changes if one.kind in DECIDING and one.seller}
        yield from ((*seller, cut) for seller in decided)
        lately |= {(one.marketplace, one.seller): None for one in changes if one.kind in LATELY}
    yield from ((*seller, cut) for seller in lately)
