"""Scores from the ledger: reads a cut of it, hands the rows to the pure core, stamps the answer."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from scoring.answer import Explanation, Stamp, TrustScore
from scoring.errors import SellerNotFound, SellertrustError
from scoring.model.artifact import Artifact
from scoring.policy import Policy
from scoring.score import explain, score
from scoring.version import CORE_VERSION
from service.contract.resource_names import seller_name
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.champion import Champion
from service.scores.shadow import Answered


class Scorer:
    """Answers with one policy and the champion of the moment. Shared by threads; it keeps nothing between two calls."""

    def __init__(self, ledger: Ledger, policy: Policy, champion: Champion) -> None:
        self._ledger = ledger
        self._policy = policy
        self.champion = champion
        self.observer: Callable[[Answered], None] | None = None
        """Told of every answered request; whatever becomes of it there, the answer is the same."""

    def scores(
        self, marketplace: str, sellers: Sequence[str], cut: Cut
    ) -> tuple[list[TrustScore | SellertrustError], Stamp]:
        """One trust score a seller, or why there is none, all from the same cut of the ledger and the same model."""
        artifact = self.champion.artifact
        rows = self._ledger.fact_rows(marketplace, sellers, cut.sequence)
        answers = score(rows, sellers, cut.observe_time, artifact, self._policy)
        stamp = self._stamp(cut, artifact)
        if self.observer is not None and artifact is not None:
            with suppress(Exception):
                self.observer(Answered(marketplace, rows, sellers, answers, stamp))
        found: list[TrustScore | SellertrustError] = [
            answer if answer is not None else _not_found(marketplace, seller)
            for seller, answer in zip(sellers, answers, strict=True)
        ]
        return found, stamp

    def explain(self, marketplace: str, seller: str, cut: Cut) -> tuple[Explanation, Stamp]:
        """One seller's score with the facts behind it. SellerNotFound if nothing stands of the seller."""
        artifact = self.champion.artifact
        rows = self._ledger.fact_rows(marketplace, [seller], cut.sequence)
        explanation = explain(rows, seller, cut.observe_time, artifact, self._policy)
        if explanation is None:
            raise _not_found(marketplace, seller)
        return explanation, self._stamp(cut, artifact)

    def _stamp(self, cut: Cut, artifact: Artifact | None) -> Stamp:
        return Stamp(
            observe_time=cut.observe_time,
            known_time=cut.known_time,
            ledger_sequence=cut.sequence,
            model_digest=artifact.digest if artifact else "",
            policy_digest=self._policy.digest,
            core_version=CORE_VERSION,
        )


def _not_found(marketplace: str, seller: str) -> SellerNotFound:
    name = seller_name(marketplace, seller)
    return SellerNotFound(
        "nothing that stands is recorded of this seller; append its identity or exposure first, or check the id",
        {"seller": name},
    )
