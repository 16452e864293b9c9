"""Scores from the ledger: reads a cut of it, hands the rows to the pure core, stamps the answer."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from scoring.answer import Explanation, Stamp, TrustScore
from scoring.artifact import Artifact
from scoring.errors import ArtifactRefused, SellerNotFound, SellertrustError
from scoring.policy import Policy
from scoring.score import explain, score
from scoring.version import CORE_VERSION
from service.ledger import Cut, Ledger
from service.names import seller_name
from service.registry import PREVIOUS, Registry
from service.shadow import Answered

LOOKS_TO_RETRY = 10
"""After so many looks a refused model is tried again, then after twice as many, and so on: each may cost a process."""
MAX_RETRY_SECONDS = 60.0
_NEVER = object()


class Scorer:
    """Answers with one policy and the registry's champion. Shared by threads: a swap replaces one reference."""

    def __init__(self, ledger: Ledger, policy: Policy, registry: Registry | None = None) -> None:
        self._ledger = ledger
        self._policy = policy
        self._registry = registry
        self._artifact: Artifact | None = None
        self._kept: Artifact | None = None
        self._changing = threading.Lock()
        self.observer: Callable[[Answered], None] | None = None
        """Told of every answered request; whatever becomes of it there, the answer is the same."""
        self.refresh()

    @property
    def model_digest(self) -> str:
        """Digest of the model that answers; empty if there is none."""
        return self._artifact.digest if self._artifact else ""

    @property
    def registry(self) -> Registry | None:
        """Where its models come from."""
        return self._registry

    def refresh(self) -> bool:
        """Takes over the registry's champion, if it is another one; whether it did. The new model is tried in a throwaway
        process, verified and loaded before the old one is let go; ArtifactRefused leaves the old one in place. The old one
        is kept: to go back to it takes no more than a look at its bytes.
        """
        registry = self._registry
        with self._changing:
            champion = registry.champion() if registry else None
            if registry is None or champion is None or champion == self.model_digest:
                return False
            artifact = self._kept
            if artifact is None or artifact.digest != champion:
                artifact = registry.admit(champion)
            else:
                registry.content(champion)
            self._kept, self._artifact = self._artifact or self._kept, artifact
            return True

    def follow(self, stop: threading.Event, report: Callable[[str], None], seconds: float | None = None) -> None:
        """Takes promotions over until `stop` is set, looking every `seconds` (default: what suits the registry's place)
        whether an alias has moved. What is refused is reported, once each, and tried again more and more rarely.
        """
        registry = self._registry
        if registry is None:
            return
        look = registry.look_seconds if seconds is None else seconds
        seen: object = _NEVER
        refused, wait, due = "", 0.0, 0.0
        while not stop.wait(look):
            try:
                stamp = registry.stamp()
                if stamp == seen and not (refused and time.monotonic() >= due):
                    continue
                wait = wait if stamp == seen else 0.0
                seen = stamp
                self.refresh()
                refused = ""
                self._keep_previous(registry)
            except Exception as error:  # noqa: BLE001 (whatever it is, a later look may succeed)
                wait = min(max(2 * wait, LOOKS_TO_RETRY * look), MAX_RETRY_SECONDS)
                due = time.monotonic() + wait
                if str(error) != refused:
                    report(refused := str(error))

    def _keep_previous(self, registry: Registry) -> None:
        """Loads the model that a rollback would bring back, so that a server that has just started goes back at once too."""
        previous = registry.aliases().get(PREVIOUS)
        if previous is None or previous in {self.model_digest, self._kept.digest if self._kept else ""}:
            return
        with suppress(ArtifactRefused):  # which is told once it is to serve
            self._kept = registry.admit(previous)

    def scores(
        self, marketplace: str, sellers: Sequence[str], cut: Cut
    ) -> tuple[list[TrustScore | SellertrustError], Stamp]:
        """One trust score a seller, or why there is none, all from the same cut of the ledger and the same model."""
        artifact = self._artifact
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
