"""The recorder: brings the record of one seller's measures to what the policy's rules ask for, as of a place in the ledger.

It keeps nothing. Whoever evaluates the same place comes to the same entries under the same ids; under the ledger's lock it is
looked once more whether the record is as it was read, so that two recorders at once, or one that was killed and began anew,
state each change once, and none that is older than what is stated already.
"""

from scoring.errors import SellerNotFound
from scoring.measure_record import Wanted, list_changes, read_record
from scoring.policy.measures import Waiver
from scoring.policy.policy import Policy
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.ledger.terms_reads import AsRecorded
from service.scores.scorer import Scorer

_EVER = 2**62
_MAX_TRIES = 20


class Recorder:
    """States changes of measures in a ledger, by the model and the policy that are served. Shared by threads."""

    def __init__(self, ledger: Ledger, scorer: Scorer) -> None:
        self._ledger = ledger
        self._scorer = scorer

    @property
    def follows_from(self) -> str:
        """Return what measures follow from beside entries and the day: the digests of model and policy."""
        made_by = self._scorer.made_by
        return f"{made_by.model[:16]}:{made_by.policy[:16]}"

    def record(self, marketplace: str, seller: str, cut: Cut) -> int:
        """State how the measures of a seller change as of a cut; return the number of entries that were appended.

        Nothing if the record states it already, or something that follows from later entries, or of a later time.
        """
        for _ in range(_MAX_TRIES):
            known = self._ledger.stated_terms(marketplace, seller, Cut(_EVER, _EVER, self._ledger.tip().sequence))
            record = read_record(known.statements)
            if (cut.sequence, cut.observe_time) < (record.at_sequence, record.time):
                return 0
            policy = self._scorer.policy.now
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
