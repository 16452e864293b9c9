"""Scores from the ledger: reads a cut of it, hands the rows to the pure core, stamps the answer."""

import threading
from collections.abc import Callable, Sequence

from scoring.answer import Explanation, Stamp, TrustScore
from scoring.artifact import Artifact
from scoring.errors import SellerNotFound, SellertrustError
from scoring.policy import Policy
from scoring.score import explain, score
from scoring.version import CORE_VERSION
from service.ledger import Cut, Ledger
from service.names import seller_name
from service.registry import Registry


class Scorer:
    """Answers with one policy and the registry's champion. Shared by threads: a swap replaces one reference."""

    def __init__(self, ledger: Ledger, policy: Policy, registry: Registry | None = None) -> None:
        self._ledger = ledger
        self._policy = policy
        self._registry = registry
        self._artifact: Artifact | None = None
        self.refresh()

    @property
    def model_digest(self) -> str:
        """Digest of the model that answers; empty if there is none."""
        return self._artifact.digest if self._artifact else ""

    def refresh(self) -> bool:
        """Takes over the registry's champion, if it is another one; whether it did. The new model is loaded and verified
        before the old one is let go; ArtifactRefused leaves the old one in place.
        """
        champion = self._registry.champion() if self._registry else None
        if champion is None or self._registry is None or champion == self.model_digest:
            return False
        self._artifact = self._registry.load(champion)
        return True

    def follow(self, stop: threading.Event, report: Callable[[str], None], seconds: float = 2.0) -> None:
        """Takes promotions over until `stop` is set, looking every `seconds`; what is refused is reported, once each."""
        refused = ""
        while not stop.wait(seconds):
            try:
                self.refresh()
                refused = ""
            except Exception as error:  # noqa: BLE001 (whatever it is, the next look may succeed)
                if str(error) != refused:
                    report(refused := str(error))

    def scores(
        self, marketplace: str, sellers: Sequence[str], cut: Cut
    ) -> tuple[list[TrustScore | SellertrustError], Stamp]:
        """One trust score a seller, or why there is none, all from the same cut of the ledger and the same model."""
        artifact = self._artifact
        rows = self._ledger.fact_rows(marketplace, sellers, cut.sequence)
        answers = score(rows, sellers, cut.observe_time, artifact, self._policy)
        found: list[TrustScore | SellertrustError] = [
            answer if answer is not None else _not_found(marketplace, seller)
            for seller, answer in zip(sellers, answers, strict=True)
        ]
        return found, self._stamp(cut, artifact)

    def explain(self, marketplace: str, seller: str, cut: Cut) -> tuple[Explanation, Stamp]:
        """One seller's score with the facts behind it. SellerNotFound if nothing stands of the seller."""
        artifact = self._artifact
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
