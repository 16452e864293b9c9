"""Scores from the ledger: reads a cut of it, hands the rows to the pure core, stamps the answer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from scoring.answer import Explanation, MadeBy, Stamp, TrustScore
from scoring.caution import Caution, Flows, find_cautions
from scoring.errors import EntryKindUnknown, SellertrustError, seller_not_found
from scoring.features.columns import FactRow, FactTable, Omitted
from scoring.in_force import InForce, evaluate_measures
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.score import explain, score
from scoring.settled_value import NO_VALUES, grows_with_value
from scoring.version import CORE_VERSION
from service.call_context import current_call
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.policy.caution_flows import read_caution_flows
from service.scores.champion import Champion
from service.scores.served_policy import ServedPolicy
from service.scores.shadow import Answered

MAX_ROWS = 20_000
"""Entries that are read and scored at once: about 100 MB."""

MAX_ALLEGATIONS = 2_000
"""Allegations of one seller that are read: of more those of inspectors first, then the gravest. All are counted."""


class Scorer:
    """Answers with the policy and the champion of the moment.

    Shared by threads; it keeps nothing between two calls.
    """

    def __init__(self, ledger: Ledger, policy: ServedPolicy, champion: Champion) -> None:
        self._ledger = ledger
        self.policy = policy
        """The policy as this server has it."""
        self.champion = champion
        """The model as this server has it."""
        self.observer: Callable[[Answered], None] | None = None
        """Gets every answered request; whatever becomes of it there, the answer is the same."""

    @property
    def made_by(self) -> MadeBy:
        """Return what answers now: model and policy, by their digests."""
        return MadeBy(self.champion.digest, self.policy.now.digest)

    @property
    def unknown_badge(self) -> str:
        """Return the policy's badge of a seller of whom no answer is known."""
        return self.policy.now.badges[None]

    def scores(
        self, marketplace: str, sellers: Sequence[str], cut: Cut
    ) -> tuple[list[TrustScore | SellertrustError], Stamp]:
        """Return one trust score or error for each seller, in their order, and the stamp of all.

        All by one cut of the ledger, one model and one policy. The sellers' entries are read and scored a part at a time,
        so that memory is bounded. SellerNotFound is such an error, and is not raised. CallerGone or DeadlinePassed between
        two parts if nobody waits for the answer any more.
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
        """Return the outcomes of sellers that are read at once; one by one if an entry of one cannot be read."""
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
        """Yield the sellers in parts of at most MAX_ROWS rows.

        Whoever has too many rows or allegations is alone.
        """
        if len(sellers) == 1:
            yield sellers
            return
        numbers = self._ledger.fact_counts(marketplace, sellers)
        part: list[str] = []
        rows = 0
        for seller in sellers:
            number, alleged = numbers.get(seller, (0, 0))
            is_apart = alleged > MAX_ALLEGATIONS  # read otherwise, and answered as if asked for alone
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

        Raises SellerNotFound if nothing stands of the seller; CallerGone or DeadlinePassed if nobody waits for it any
        more.
        """
        artifact, policy = self.champion.artifact, self.policy.now
        check = current_call().require_caller
        check()
        rows, omitted = self._ledger.facts_of_seller(marketplace, seller, cut, MAX_ALLEGATIONS)
        flows = self._flows(marketplace, [seller], cut, policy, rows)
        explanation = explain(rows, seller, cut.observe_time, artifact, policy, check, {seller: omitted}, flows)
        if explanation is None:
            raise seller_not_found(marketplace, seller)
        return explanation, _stamp(cut, artifact, policy)

    def measures(
        self, marketplace: str, seller: str, cut: Cut, policy: Policy | None = None, served_at: int | None = None
    ) -> tuple[InForce, Policy, Stamp]:
        """Return (what is in force for one seller, the policy that it follows from, the stamp).

        By `policy`, or by the one that is served; by the model that was served at `served_at` (microseconds), or by the one
        that is now.

        Raises SellerNotFound if nothing stands of the seller; CallerGone or DeadlinePassed if nobody waits for it any
        more.
        """
        artifact = self.champion.artifact if served_at is None else self.champion.at(served_at)
        policy = policy or self.policy.now
        check = current_call().require_caller
        check()
        rows, omitted = self._ledger.facts_of_seller(marketplace, seller, cut, MAX_ALLEGATIONS)
        currency = policy.rule_book.currency
        values = (
            self._ledger.settled_values(marketplace, seller, cut, currency) if grows_with_value(policy) else NO_VALUES
        )
        terms = self._ledger.stated_terms(marketplace, seller, cut)
        found = evaluate_measures(
            *(rows, seller, cut.observe_time, artifact, policy, marketplace, values, check, {seller: omitted}),
            statements=terms.statements,
            deposit_minor=terms.deposit.held_in(currency),
            flows=self._flows(marketplace, [seller], cut, policy, rows),
        )
        if found is None:
            raise seller_not_found(marketplace, seller)
        return found, policy, _stamp(cut, artifact, policy)

    def cautions(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> dict[str, tuple[Caution, ...]]:
        """Return the cautions in force for some sellers by the policy that is served; who has none is left out."""
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
        """Return the facts of a part.

        Of a seller with very many open allegations also those that are not among them.
        """
        return self._ledger.fact_table(marketplace, sellers, cut, MAX_ALLEGATIONS)

    def _flows(
        self,
        marketplace: str,
        sellers: Sequence[str],
        cut: Cut,
        policy: Policy,
        facts: FactTable | Sequence[FactRow],
    ) -> Flows:
        """Return the flow that the cautions of some sellers rest on (`read_caution_flows`)."""
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
