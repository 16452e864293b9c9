"""Scores from the ledger: gives a cut's rows to the pure core, and stamps the answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from scoring.base.errors import EntryKindUnknown, SellertrustError, seller_not_found
from scoring.base.version import CORE_VERSION
from scoring.caution.cautions import Caution, Flows, find_cautions
from scoring.features.columns import FactRow, FactTable, Omitted
from scoring.measures.in_force import Beside, InForce, evaluate_measures_of
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.scores.answer import Explanation, MadeBy, Stamp, TrustScore
from scoring.scores.population import add_up_values
from scoring.scores.score import explain, score
from scoring.scores.settled_value import grows_with_value
from service.call_context import current_call
from service.ledger.queries.measures import StatedTerms
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.policy.caution_flows import read_caution_flows
from service.scores.champion import Champion
from service.scores.served_policy import ServedPolicy
from service.scores.shadow import Answered

MAX_ROWS = 20_000

MAX_ALLEGATIONS = 2_000
"""Per seller: inspectors' first, then the gravest. All are counted."""


class Scorer:
    """Answers with the served policy and champion. Thread-safe, without state between calls."""

    def __init__(self, ledger: Ledger, policy: ServedPolicy, champion: Champion) -> None:
        self._ledger = ledger
        self.policy = policy
        self.champion = champion
        self.observer: Callable[[Answered], None] | None = None

    @property
    def made_by(self) -> MadeBy:
        return MadeBy(self.champion.digest, self.policy.now.digest)

    @property
    def unknown_badge(self) -> str:
        return self.policy.now.badges[None]

    def scores(
        self, marketplace: str, sellers: Sequence[str], cut: Cut
    ) -> tuple[list[TrustScore | SellertrustError], Stamp]:
        """Return one trust score or error per seller, in order, and their common stamp.

        One cut, model and policy for all; memory is bounded. SellerNotFound is returned, not raised. Raises CallerGone
        or DeadlinePassed if the caller no longer waits.
        """
        artifact, policy = self.champion.artifact, self.policy.now
        stamp = _stamp(cut, artifact, policy)
        found: list[TrustScore | SellertrustError] = []
        check = current_call().require_caller
        check()
        for part in self._parts(marketplace, sellers):
            check()
            found += self._score_part(marketplace, part, cut, artifact, policy, stamp)
        return found, stamp

    def _score_part(
        self, marketplace: str, part: Sequence[str], cut: Cut, artifact: Artifact | None, policy: Policy, stamp: Stamp
    ) -> list[TrustScore | SellertrustError]:
        try:
            facts, omitted = self._facts(marketplace, part, cut)
        except EntryKindUnknown as error:
            if len(part) == 1:
                return [error]
            alone = (self._score_part(marketplace, [seller], cut, artifact, policy, stamp) for seller in part)
            return [outcome for outcomes in alone for outcome in outcomes]
        flows, check = self._flows(marketplace, part, cut, policy, facts), current_call().require_caller
        answers = score(facts, part, cut.observe_time, artifact, policy, check, omitted, flows)
        if self.observer is not None and artifact is not None:
            with suppress(Exception):
                self.observer(Answered(marketplace, facts, part, answers, stamp, policy))
        named = zip(part, answers, strict=True)
        return [seller_not_found(marketplace, seller) if answer is None else answer for seller, answer in named]

    def _parts(self, marketplace: str, sellers: Sequence[str]) -> Iterator[Sequence[str]]:
        if len(sellers) == 1:
            yield sellers
            return
        numbers = self._ledger.facts.count(marketplace, sellers)
        part: list[str] = []
        rows = 0
        for seller in sellers:
            number, alleged = numbers.get(seller, (0, 0))
            is_apart = alleged > MAX_ALLEGATIONS
            if part and (is_apart or rows + number > MAX_ROWS):
                yield part
                part, rows = [], 0
            if is_apart:
                yield [seller]
                continue
            part.append(seller)
            rows += number
        if part:
            yield part

    def explain(self, marketplace: str, seller: str, cut: Cut) -> tuple[Explanation, Stamp]:
        """Return one seller's trust score with the facts behind it, and its stamp.

        Raises SellerNotFound if the seller has no valid entries; CallerGone or DeadlinePassed if the caller no longer
        waits.
        """
        artifact, policy = self.champion.artifact, self.policy.now
        check = current_call().require_caller
        check()
        rows, omitted = self._ledger.facts.of_seller(marketplace, seller, cut, MAX_ALLEGATIONS)
        flows = self._flows(marketplace, [seller], cut, policy, rows)
        explanation = explain(rows, seller, cut.observe_time, artifact, policy, check, {seller: omitted}, flows)
        if explanation is None:
            raise seller_not_found(marketplace, seller)
        return explanation, _stamp(cut, artifact, policy)

    def measures(
        self, marketplace: str, seller: str, cut: Cut, policy: Policy | None = None, served_at: int | None = None
    ) -> tuple[InForce, Policy, Stamp]:
        """Return (measures in force for one seller, their policy, the stamp).

        By `policy`, or the served one; by the model served at `served_at` (microseconds), or now. Raises SellerNotFound
        if the seller has no valid entries; CallerGone or DeadlinePassed if the caller no longer waits.
        """
        artifact = self.champion.artifact if served_at is None else self.champion.at(served_at)
        policy = policy or self.policy.now
        terms = self._ledger.measures.of_sellers(marketplace, [seller], cut)
        [found] = self._measures_of(marketplace, [seller], cut, policy, artifact, terms)
        if found is None:
            raise seller_not_found(marketplace, seller)
        return found, policy, _stamp(cut, artifact, policy)

    def measures_of(
        self,
        marketplace: str,
        sellers: Sequence[str],
        cut: Cut,
        policy: Policy,
        terms: Mapping[str, StatedTerms],
    ) -> Iterator[tuple[str, InForce | None]]:
        """Yield each seller with its measures in force by a policy; None if it has no valid entries.

        `terms`: by seller, as of the cut.
        """
        artifact = self.champion.artifact
        for part in self._parts(marketplace, sellers):
            yield from zip(part, self._measures_of(marketplace, part, cut, policy, artifact, terms), strict=True)

    def _measures_of(
        self,
        marketplace: str,
        part: Sequence[str],
        cut: Cut,
        policy: Policy,
        artifact: Artifact | None,
        terms: Mapping[str, StatedTerms],
    ) -> list[InForce | None]:
        check, time, currency = current_call().require_caller, cut.observe_time, policy.rule_book.currency
        check()
        table, omitted = self._facts(marketplace, part, cut)
        settled: dict[str, list[int]] = {}
        if grows_with_value(policy):
            valued = table.with_sales(self._ledger.facts.valued_sales(marketplace, part, cut, currency), part)
            settled = {name: values.tolist() for name, values in add_up_values(valued, time).items()}
        beside = {
            seller: Beside(
                {name: values[case] for name, values in settled.items()},
                terms[seller].statements,
                terms[seller].deposit.held_in(currency),
            )
            for case, seller in enumerate(part)
        }
        flows = self._flows(marketplace, part, cut, policy, table)
        return evaluate_measures_of(table, part, time, artifact, policy, marketplace, beside, check, omitted, flows)

    def cautions(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> dict[str, tuple[Caution, ...]]:
        policy, check = self.policy.now, current_call().require_caller
        found: dict[str, tuple[Caution, ...]] = {}
        if policy.caution is None or not sellers:
            return found
        for part in self._parts(marketplace, sellers):
            check()
            facts, _ = self._facts(marketplace, part, cut)
            flows = self._flows(marketplace, part, cut, policy, facts)
            by_case = find_cautions(facts, part, flows, cut.observe_time, policy.caution, check)
            found |= {part[case]: cautions for case, cautions in by_case.items()}
        return found

    def _facts(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> tuple[FactTable, dict[str, Omitted]]:
        """Return a part's facts, also the remaining allegations of a seller with very many."""
        return self._ledger.facts.table(marketplace, sellers, cut, MAX_ALLEGATIONS)

    def _flows(
        self,
        marketplace: str,
        sellers: Sequence[str],
        cut: Cut,
        policy: Policy,
        facts: FactTable | Sequence[FactRow],
    ) -> Flows:
        return read_caution_flows(self._ledger, marketplace, sellers, cut, policy, facts)


def _stamp(cut: Cut, artifact: Artifact | None, policy: Policy) -> Stamp:
    return Stamp(
        observe_time=cut.observe_time,
        known_time=cut.known_time,
        ledger_sequence=cut.sequence,
        model_digest=artifact.digest if artifact else "",
        policy_digest=policy.digest,
        core_version=CORE_VERSION,
    )
