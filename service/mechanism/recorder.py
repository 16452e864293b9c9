"""The recorder: brings the record of one seller's measures to what the policy's rules ask for, as of a place in the ledger.

It keeps nothing. Whoever evaluates the same place comes to the same entries under the same ids; under the ledger's lock it is
looked once more whether the record is as it was read, so that two recorders at once, or one that was killed and began anew,
state each change once, and none that is older than what is stated already.
"""

from collections.abc import Iterator
from typing import NamedTuple

from scoring.errors import SellerNotFound
from scoring.measure_record import MeasureRecord, Wanted, list_changes, read_record
from scoring.policy.measures import Waiver
from scoring.policy.policy import Policy
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.ledger.terms_reads import AsRecorded
from service.scores.scorer import Scorer

_EVER = 2**62
_MAX_TRIES = 20


class Recorded(NamedTuple):
    """What became of the record of one seller."""

    appended: int
    """Entries that were appended."""
    next_end: int | None
    """When the first of its measures ends by itself, in microseconds; None if none is to."""


class Recorder:
    """States changes of measures in a ledger, by the model and the policy that are served. Shared by threads."""

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
        """State how the measures of a seller change as of a cut, and before that as of each end of one on record.

        Nothing if the record states it already, or something that follows from later entries, or of a later time.
        """
        appended, since = 0, None
        while True:
            record = self._read(marketplace, seller)
            since = record.time if since is None else max(since, record.time)
            end = min((end for end in _list_ends(record) if since < end < cut.observe_time - 1), default=None)
            if end is None:
                if stated := self._state(marketplace, seller, cut, record):
                    record = self._read(marketplace, seller)
                later = (end for end in _list_ends(record) if end >= cut.observe_time - 1)
                return Recorded(appended + stated, min(later, default=None))
            appended += self._state(marketplace, seller, self._ledger.cut(end + 1, end + 1), record)
            since = end

    def _read(self, marketplace: str, seller: str) -> MeasureRecord:
        """Return what the service has stated of a seller's measures, up to the end of the ledger."""
        everything = Cut(_EVER, _EVER, self._ledger.tip().sequence)
        return read_record(self._ledger.stated_terms(marketplace, seller, everything).statements)

    def _state(self, marketplace: str, seller: str, cut: Cut, record: MeasureRecord) -> int:
        """State how the measures of a seller change as of one cut; return the number of entries that were appended.

        `record`: as it was read last.
        """
        for _ in range(_MAX_TRIES):
            if (cut.sequence, cut.observe_time) < (record.at_sequence, record.time):
                return 0
            policy = self._scorer.policy.at(cut.observe_time)
            entries = list_changes(
                seller,
                self._wanted(marketplace, seller, cut, policy),
                record,
                time=cut.observe_time - 1,
                at_sequence=cut.sequence,
                policy=policy.digest,
                currency=policy.rule_book.currency,
            )
            if not entries:
                return 0
            if self._ledger.append(marketplace, entries, as_recorded=AsRecorded(seller, record)):
                return len(entries)
            record = self._read(marketplace, seller)
        raise RuntimeError(f"the record of a seller's measures changed {_MAX_TRIES} times while one change was stated")

    def _wanted(self, marketplace: str, seller: str, cut: Cut, policy: Policy) -> list[Wanted]:
        """Return the measures that should stand in the record: those that have an effect, now or after their notice."""
        if not policy.rule_book.rules:
            return []
        try:
            found, _, _ = self._scorer.measures(marketplace, seller, cut, policy)
        except SellerNotFound:
            return []
        return [
            Wanted(one.measure, one.rule, one.reference, one.current, one.start, one.end, one.violations)
            for one in found.measures
            if one.rule and one.has_effect and not isinstance(one.current, Waiver)  # what persons impose is on record
        ]


def _list_ends(record: MeasureRecord) -> Iterator[int]:
    """Yield when the measures that stand on record end by themselves, in microseconds."""
    yield from (fact.until for fact in record.active.values() if fact.until is not None)
