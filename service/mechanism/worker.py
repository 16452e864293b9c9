"""The worker: follows the ledger, the day, the model and the policy, and has the recorder state changes of measures.

Decisions are evaluated at their own append, in the ledger's order, so the record is the same whenever the worker ran.
Settled orders are evaluated at the end of a look; every seller at each midnight and policy move, and once after a
change of the model.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from time import monotonic

from scoring.base.errors import InvalidInput, LedgerUnavailable
from scoring.base.time import DAY, SECOND
from service.ledger.queries.changes import LedgerChange
from service.ledger.records import Cut, Position
from service.ledger.seals.chain import GENESIS
from service.ledger.store import Ledger
from service.mechanism.places import AT_END_OF_LOOK, DECIDING, LINKS_SOURCE, SOURCE, TIME_SOURCE, list_times
from service.mechanism.recorder import Recorder
from service.mechanism.refusals import Refusals, Seller
from service.repeated_work import repeat

COUNT_SECONDS = 15.0

LOOK_SECONDS = 1.0
PAGE = 20_000
"""More than one append holds."""

BATCH = 100

KEPT_AFTER = 1_000
"""A restart evaluates at most so many entries again."""

_UNKNOWN_END = 0, b""


class MechanismWorker:
    """Any number may run on one ledger. `share`: the most of its time that it works."""

    def __init__(self, ledger: Ledger, recorder: Recorder, *, share: float = 1.0) -> None:
        self._ledger = ledger
        self.recorder = recorder
        self._share = share
        self._stop = threading.Event()
        self._done = 0
        self._end: tuple[int, bytes] = (0, GENESIS)
        """(Sequence, chain) where the ledger ended after the last look."""
        self._follows_from = ""
        self._ends: dict[Seller, int] = {}
        self.report: Callable[[str], None] = lambda _: None
        """Gets a sentence about each refused seller, without its name."""
        self.refusals = Refusals(ledger)
        self.appended = 0
        self.behind = 0
        """Entries not followed yet."""
        self.open_cases = 0
        self.overdue_cases = 0
        self._count_due = 0.0
        self._behind_since = 0
        self._links_day = 0

    def stop(self) -> None:
        self._stop.set()

    def run(self, report: Callable[[str], None], seconds: float = LOOK_SECONDS) -> None:
        """Look repeatedly until `stop` is called; blocks this thread.

        It reports a problem once, and no outage of the database.
        """
        self.report = report
        repeat(self.look, self._stop, seconds, report, silent=(LedgerUnavailable,))

    def look(self) -> int:
        """Bring the record up to date once; return the number of entries appended.

        For each midnight and policy move since the last look: the entries until then, then every seller. Then the newer
        entries, every seller if the model changed, sellers whose measures ended, and refused ones.
        """
        self.refusals.load()
        sequence, chain = self._end
        if self._ledger.seals.chain_at(sequence) != chain:
            self._forget_progress()
        self._end = _UNKNOWN_END  # if this look fails, entries may be lost that it followed or made
        appended = self._look()
        self._end = self._ledger.seals.last()
        return appended

    def _look(self) -> int:
        appended_before, now = self.appended, self._ledger.cut()
        if (
            self._follow_midnights_and_moves(now)
            and self._follow_entries(now.sequence)
            and self._record_every_seller_if_model_changed(now)
        ):
            sellers_of_ended = {seller: 0 for seller, end in self._ends.items() if end < now.observe_time}
            for (marketplace, sellers), _ in _list_batches(sellers_of_ended):
                self._record(marketplace, sellers, now)
            self._retry_refused(now)
        self.behind, self._behind_since = max(now.sequence - self._done, 0), 0
        if monotonic() >= self._count_due:
            self._count_due = monotonic() + COUNT_SECONDS
            marketplaces = self._ledger.sellers.list_marketplaces()
            self.open_cases, self.overdue_cases = self._ledger.cases.count_open(now, now.observe_time, marketplaces)
        self._refresh_links(now.observe_time // DAY)
        return self.appended - appended_before

    def _refresh_links(self, day: int) -> None:
        if day <= self._links_day:
            return
        if (self._ledger.positions.find(LINKS_SOURCE) or 0) < day:
            for marketplace in self._ledger.sellers.list_marketplaces():
                self.appended += self._ledger.refresh_links(marketplace).cases
            self._save_position(LINKS_SOURCE, day)
        self._links_day = day

    def _forget_progress(self) -> None:
        """Go on where the ledger says, which lost entries: as after the promotion of a standby that lagged."""
        self._done, self._follows_from = 0, ""
        self._ends.clear()
        self._links_day = 0

    def _follow_midnights_and_moves(self, now: Cut) -> bool:
        since = self._ledger.positions.find(TIME_SOURCE)
        for time in (
            () if since is None else list_times(since, now.observe_time - 1, self.recorder.list_policy_move_times)
        ):
            cut = self._ledger.cut(time + 1, time + 1)
            if not self._follow_entries(cut.sequence) or not self._record_every_seller(cut, f"{SOURCE}:every:{time}"):
                return False
            self._save_position(TIME_SOURCE, time)
            self._mark_recorded(now, self.recorder.follows_from_at(time + 1))
        return True

    def _record_every_seller_if_model_changed(self, now: Cut) -> bool:
        follows_from = self.recorder.follows_from
        if follows_from == self._follows_from:
            return True
        is_restart = not self._follows_from
        is_marked = self._ledger.positions.find(_name_marker(now, follows_from)) is not None
        # Without a restart a marker of today may be older than the model or policy that served between.
        if not (is_restart and is_marked) and not self._record_every_seller(now):
            return False
        if (
            self._ledger.positions.find(TIME_SOURCE) is None
        ):  # `_follow_midnights_and_moves` begins after the first evaluation
            self._save_position(TIME_SOURCE, now.observe_time - 1)
        self._mark_recorded(now, follows_from)
        return True

    def _mark_recorded(self, now: Cut, follows_from: str) -> None:
        self._follows_from = follows_from
        self._save_position(_name_marker(now, follows_from), 1)
        self._save_progress(self._done)

    def _follow_entries(self, last: int) -> bool:
        begin = self._ledger.positions.find(SOURCE)
        if begin is None:
            self._save_progress(last)
            return True
        done_sequence = self._done = max(begin - 1, self._done)
        while done_sequence < last:
            page = _keep_whole_appends(self._ledger.changes.list(done_sequence, last, PAGE), last)
            by_rule = self._ledger.changes.find_sequences_by_rule(page[0].sequence, page[-1].sequence)
            for marketplace, sellers, cut, following in _list_evaluations(page, by_rule):
                if self._stop.is_set():
                    return False
                self._record(marketplace, sellers, cut)
                if following:
                    self._save_position(SOURCE, following)
                self.behind = last - (following or cut.sequence + 1) + 1
            done_sequence = self._done = page[-1].sequence
            if done_sequence - begin >= KEPT_AFTER:
                self._save_progress(done_sequence)
        return True

    def _save_position(self, source: str, position: int) -> None:
        self._ledger.positions.advance(Position(source, 0, position))

    def _save_progress(self, done_sequence: int) -> None:
        self._save_position(SOURCE, done_sequence + 1)
        self._done = done_sequence

    def _record_every_seller(self, cut: Cut, name: str = "") -> bool:
        """Return whether it is done. `name`: the source of the number done, behind which a restart resumes; empty: none."""
        recorded_count, count = (self._ledger.positions.find(name) or 0) if name else 0, 0
        for marketplace, sellers in self._list_every_seller():
            if self._stop.is_set():
                return False
            count += len(sellers)
            if count > recorded_count:
                self._record(marketplace, [seller for seller in sellers if seller], cut)
                if name:
                    self._save_position(name, count)
        return True

    def _record(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> None:
        self._behind_since = cut.observe_time
        ready = []
        for seller in sellers:
            refused = self.refusals.find((marketplace, seller))
            if refused is not None and (refused.missed or refused.due > monotonic()):
                refused.missed.append(cut)
            else:
                ready.append(seller)
        if len(ready) == 1 or (ready and not self._try_to_record(marketplace, ready, cut)):
            for seller in ready:
                self._try_to_record(marketplace, [seller], cut)

    def _retry_refused(self, now: Cut) -> None:
        for (marketplace, seller), refused in self.refusals.list_due():
            for cut in [*refused.missed] or [now]:
                if self._stop.is_set() or not self._try_to_record(marketplace, [seller], cut):
                    break
                if refused.missed:
                    refused.missed.popleft()
            else:
                self.refusals.remove((marketplace, seller))

    def _try_to_record(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> bool:
        began = monotonic()
        try:
            recorded = self.recorder.record(marketplace, sellers, cut)
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it may be one seller's alone)
            if len(sellers) == 1:
                self._note_refusal((marketplace, sellers[0]), cut, error)
            return False
        finally:
            if self._share < 1:
                self._stop.wait((monotonic() - began) * (1 / self._share - 1))
        for seller, result in recorded.items():
            self.appended += result.appended
            self._ends.pop((marketplace, seller), None)
            if result.next_end is not None:
                self._ends[marketplace, seller] = result.next_end
        return True

    def _note_refusal(self, seller: Seller, cut: Cut, error: Exception) -> None:
        is_new = self.refusals.find(seller) is None
        self.refusals.add(seller, cut)
        if is_new:
            self.report(f"of one seller, by {describe_fault(error)}; the others go on, it is tried again")

    def _list_every_seller(self) -> Iterator[tuple[str, Sequence[str]]]:
        for marketplace in self._ledger.sellers.list_marketplaces():
            after = ""
            while page := self._ledger.sellers.list(marketplace, after, BATCH):
                yield marketplace, page
                after = page[-1]

    @property
    def behind_seconds(self) -> float:
        """Return the age of the present evaluations; 0 if all are of now."""
        return max(self._ledger.clock.now() - self._behind_since, 0) / SECOND if self._behind_since else 0.0


def describe_fault(error: Exception) -> str:
    """Return an error's class and fields, without its text, which may name a seller."""
    fields = [violation.field for violation in error.violations] if isinstance(error, InvalidInput) else []
    return type(error).__name__ + (f" ({', '.join(fields[:5])})" if fields else "")


def _name_marker(now: Cut, follows_from: str) -> str:
    """Return the source whose position says that today every seller was evaluated by a model and policy."""
    return f"{SOURCE}:{now.observe_time // DAY}:{follows_from}"


def _keep_whole_appends(page: Sequence[LedgerChange], last: int) -> Sequence[LedgerChange]:
    """Return the page without its last append, which the next page may go on with."""
    if page[-1].sequence == last or page[0].record_time == page[-1].record_time:
        return page
    return [change for change in page if change.record_time < page[-1].record_time]


def _list_evaluations(
    page: Sequence[LedgerChange], by_rule: Collection[int]
) -> Iterator[tuple[str, Sequence[str], Cut, int]]:
    """Yield (marketplace, sellers, cut, sequence) for the evaluations that a page of whole appends asks for, in order.

    The service's own statements, in `by_rule`, ask for none. At most BATCH sellers each. If an append concerns more,
    `sequence` is its first entry still to be followed; otherwise 0.
    """
    later: dict[Seller, int] = {}
    cut = Cut(0, 0, 0)
    for record_time, group in groupby(page, key=lambda change: change.record_time):
        changes = list(group)
        cut = Cut(record_time + 1, record_time + 1, changes[-1].sequence)
        decided: dict[Seller, int] = {}
        for change in changes:
            if not change.seller or change.sequence in by_rule:
                continue
            if change.kind in DECIDING:
                decided.setdefault((change.marketplace, change.seller), change.sequence)
            elif change.kind in AT_END_OF_LOOK:
                later.setdefault((change.marketplace, change.seller), change.sequence)
        if len(decided) > BATCH:
            yield from ((*batch, cut, 0) for batch, _ in _list_batches(later))
            later = {}
        yield from ((*batch, cut, following) for batch, following in _list_batches(decided))
    yield from ((*batch, cut, 0) for batch, _ in _list_batches(later))


def _list_batches(sellers: Mapping[Seller, int]) -> Iterator[tuple[tuple[str, Sequence[str]], int]]:
    """Yield at most BATCH sellers of a marketplace, with the sequence of the first seller after the batch, or 0."""
    for begin in range(0, len(sellers), BATCH):
        chunk = [*islice(sellers.items(), begin, begin + BATCH + 1)]
        following = chunk[BATCH][1] if len(chunk) > BATCH else 0
        for marketplace, group in groupby(sorted(chunk[:BATCH], key=itemgetter(0)), key=lambda item: item[0][0]):
            yield (marketplace, [seller for (_, seller), _ in group]), following
