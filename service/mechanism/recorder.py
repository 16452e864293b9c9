"""The recorder: brings the record of one seller's measures to what the policy's rules ask for, as of a place in the ledger.

It keeps nothing. Whoever evaluates the same place comes to the same entries under the same ids; under the ledger's lock it is
looked once more whether the record is as it was read, so that two recorders at once, or one that was killed and began anew,
state each change once, and none that is older than what is stated already.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context
from typing import NamedTuple, TypedDict

from scoring.case_record import CaseStatement, count_own, list_case_changes
from scoring.caution import Caution
from scoring.entries.entry import Entry
from scoring.entries.kinds.settlement import ComplaintDecided, ComplaintFiled
from scoring.errors import InvalidInput, SellerNotFound
from scoring.measure_record import MeasureRecord, Wanted, list_changes, read_record
from scoring.policy.measures import Waiver
from scoring.policy.policy import Policy
from service.ledger.queries.measures import AsRecorded
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.mechanism.places import DECIDING, SOURCE, TIME_SOURCE, list_times
from service.mechanism.refusals import name_refused
from service.scores.scorer import Scorer

_EVER = 2**62
_MAX_TRIES = 20


class Recorded(NamedTuple):
    """What became of the record of one seller."""

    appended: int
    """Entries that were appended."""
    next_end: int | None
    """When the first of its measures ends by itself, in microseconds; None if none is to."""


class _Stamp(TypedDict):
    """What each statement says of the evaluation that it follows from."""

    time: int
    at_sequence: int
    policy: str


class _Known(NamedTuple):
    """What the service has stated of a seller."""

    record: MeasureRecord
    cases: Sequence[CaseStatement]

    @property
    def place(self) -> tuple[int, int]:
        """Return (sequence, time) that the last statement follows from; (0, 0) if there is none."""
        places = [(one.fact.at_sequence, one.occur_time) for one in self.cases if one.fact.rule]
        return max([(self.record.at_sequence, self.record.time), *places])

    def list_ends(self) -> Iterator[int]:
        """Yield when the measures that stand on record end by themselves, in microseconds."""
        yield from (fact.until for fact in self.record.active.values() if fact.until is not None)


class Recorder:
    """States changes of measures and cases in a ledger, by the model and the policy that are served. Shared by threads."""

    def __init__(self, ledger: Ledger, scorer: Scorer) -> None:
        self._ledger = ledger
        self._scorer = scorer

    def policy_moves(self, since: int, until: int) -> list[int]:
        """Return when policies were committed or rolled back after a time, up to another, in microseconds."""
        return self._scorer.policy.move_times(since, until)

    def follows_from_at(self, time: int) -> str:
        """Return what measures as of a time (microseconds) follow from, as `follows_from` does."""
        return f"{self._scorer.made_by.model[:16]}:{self._scorer.policy.at(time).digest[:16]}"

    @property
    def follows_from(self) -> str:
        """Return what measures follow from beside entries and the day: the digests of model and policy."""
        made_by = self._scorer.made_by
        return f"{made_by.model[:16]}:{made_by.policy[:16]}"

    def record(self, marketplace: str, seller: str, cut: Cut) -> Recorded:
        """State how the measures and cases of a seller change as of a cut, and before that as of each end of one on record.

        Nothing if the record states it already, or something that follows from later entries, or of a later time.
        """
        appended, since = 0, None
        while True:
            known = self._read(marketplace, seller)
            since = known.place[1] if since is None else max(since, known.place[1])
            end = min((end for end in known.list_ends() if since < end < cut.observe_time - 1), default=None)
            if end is None:
                if stated := self._state(marketplace, seller, cut, known):
                    known = self._read(marketplace, seller)
                later = (end for end in known.list_ends() if end >= cut.observe_time - 1)
                return Recorded(appended + stated, min(later, default=None))
            appended += self._state(marketplace, seller, self._ledger.cut(end + 1, end + 1), known)
            since = end

    def record_pending(self, marketplace: str, seller: str) -> None:
        """State every change of a seller's measures up to now that the worker has still to state, in the same order.

        So a measure on show can be contested, and restitution finds it, however far the worker is behind. The worker states
        none of these again. A seller whose statements are refused is left to the worker.
        """
        if (self._ledger.positions.find(name_refused((marketplace, seller)), 0) or 0) % 2:
            return
        with suppress(InvalidInput):  # the worker reports it, and tries again
            for cut in self._list_pending(marketplace, seller):
                Context().run(self.record, marketplace, seller, cut)  # outside of the call: it is no act of the caller

    def record_contested(self, marketplace: str, entries: Iterable[Entry]) -> None:
        """State the pending changes of each seller whose measures are contested by some entries, or judged."""
        contested = {one.seller: None for one in entries if isinstance(one.fact, ComplaintFiled | ComplaintDecided)}
        for seller in contested:
            self.record_pending(marketplace, seller)

    def _list_pending(self, marketplace: str, seller: str) -> Iterator[Cut]:
        """Yield the cuts as of which a seller is still to be evaluated, in their order; the last one is now."""
        now = self._ledger.cut()
        followed, evaluated = self._ledger.positions.find(SOURCE, 0), self._ledger.positions.find(TIME_SOURCE, 0)
        times: set[int] = set()
        if evaluated is not None:
            times.update(list_times(evaluated, now.observe_time - 1, self.policy_moves))
        if followed is not None:
            changes = self._ledger.changes.of_seller(marketplace, seller, followed - 1, now.sequence)
            times.update(change.record_time for change in changes if change.kind in DECIDING)
        yield from (self._ledger.cut(time + 1, time + 1) for time in sorted(times))
        yield now

    def _read(self, marketplace: str, seller: str) -> _Known:
        """Return what the service has stated of a seller's measures and cases, up to the end of the ledger."""
        everything = Cut(_EVER, _EVER, self._ledger.clock.end().sequence)
        found = self._ledger.measures.of_seller(marketplace, seller, everything)
        return _Known(read_record(found.statements), found.cases)

    def _state(self, marketplace: str, seller: str, cut: Cut, known: _Known) -> int:
        """State how the measures and cases of a seller change as of one cut; return the number of entries appended.

        `known`: as it was read last.
        """
        for _ in range(_MAX_TRIES):
            if (cut.sequence, cut.observe_time) < known.place:
                return 0
            policy = self._scorer.policy.at(cut.observe_time)
            wanted, cautions = self._evaluate(marketplace, seller, cut, policy)
            stamp: _Stamp = {"time": cut.observe_time - 1, "at_sequence": cut.sequence, "policy": policy.digest}
            currency = policy.rule_book.currency
            entries = list_changes(seller, wanted, known.record, currency=currency, **stamp)
            entries += list_case_changes(seller, cautions, known.cases, **stamp)
            if not entries:
                return 0
            as_recorded = AsRecorded(seller, known.record, count_own(known.cases))
            if self._ledger.append(marketplace, entries, as_recorded=as_recorded):
                return len(entries)
            known = self._read(marketplace, seller)
        raise RuntimeError(f"the record of a seller's measures changed {_MAX_TRIES} times while one change was stated")

    def _evaluate(
        self, marketplace: str, seller: str, cut: Cut, policy: Policy
    ) -> tuple[list[Wanted], Sequence[Caution]]:
        """Return the measures that should stand in the record, and the cautions in force.

        The measures are those that have an effect, now or after their notice.
        """
        if not policy.rule_book.rules and policy.caution is None:
            return [], ()
        try:
            found, _, _ = self._scorer.measures(marketplace, seller, cut, policy)
        except SellerNotFound:
            return [], ()
        wanted = [
            Wanted(one.measure, one.rule, one.reference, one.current, one.start, one.end, one.violations)
            for one in found.measures
            if one.rule and one.has_effect and not isinstance(one.current, Waiver)  # what persons impose is on record
        ]
        return wanted, found.score.cautions
