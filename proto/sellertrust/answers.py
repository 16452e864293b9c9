"""The client of AnswerService."""

from collections.abc import Iterable

from sellertrust.names import seller_name
from sellertrust.requests import Time, bounds, invoke
from sellertrust.scores import TrustScore
from sellertrust.stubs import Stubs
from sellertrust.v1 import trust_score_service_pb2
from sellertrust.v1.answer_service_pb2 import (
    FindTierPathRequest,
    FindTierPathResponse,
    ListStatementsOfReasonsRequest,
    ListStatementsOfReasonsResponse,
    ReplayTrustScoreRequest,
    ReplayTrustScoreResponse,
    SimulateTrustScoreRequest,
    SimulateTrustScoreResponse,
)
from sellertrust.v1.entry_pb2 import ACTION_OVERTURN, Entry
from sellertrust.v1.measure_service_pb2 import EvaluateMeasuresResponse
from sellertrust.v1.trust_score_service_pb2 import AUDIENCE_STAFF, Audience, Stamp

ANSWER_SECONDS = 10.0
"""A person waits for it; no checkout does."""


class Answers(Stubs):
    def simulate_trust_score(
        self,
        marketplace: str,
        seller: str,
        entries: Iterable[Entry] = (),
        *,
        overturned: Iterable[str] = (),
        observe_time: Time | None = None,
        at_least_sequence: int = 0,
        audience: "Audience.ValueType" = AUDIENCE_STAFF,
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> SimulateTrustScoreResponse:
        """Return one seller's score and measures with hypothetical entries, which are never recorded.

        `overturned`: ids of violations whose appeals succeed. `observe_time`: of the hypothetical answer, at most 366
        days ahead.
        """
        request = SimulateTrustScoreRequest(
            seller=seller_name(marketplace, seller),
            entries=entries,
            audience=audience,
            **bounds(observe_time, None, at_least_sequence),
        )
        for violation in overturned:
            status = request.entries.add().status
            status.violation, status.action = violation, ACTION_OVERTURN
            status.actor, status.reason = "simulation", "if the appeal succeeds"
        return invoke(self._answers.SimulateTrustScore, request, deadline_seconds)

    def find_tier_path(
        self,
        marketplace: str,
        seller: str,
        *,
        at_least_sequence: int = 0,
        audience: "Audience.ValueType" = AUDIENCE_STAFF,
        language: str = "",
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> FindTierPathResponse:
        """Return the shortest way to each better tier within 180 days by today's rules, and how the seller heals."""
        request = FindTierPathRequest(
            seller=seller_name(marketplace, seller),
            audience=audience,
            language=language,
            **bounds(None, None, at_least_sequence),
        )
        return invoke(self._answers.FindTierPath, request, deadline_seconds)

    def list_statements_of_reasons(
        self,
        marketplace: str,
        seller: str,
        *,
        measure: str = "",
        at_least_sequence: int = 0,
        audience: "Audience.ValueType" = AUDIENCE_STAFF,
        language: str = "",
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> ListStatementsOfReasonsResponse:
        """Return the letter to one seller about each measure that restricts it; perhaps none.

        `measure`: only that one, by the `measure` of a Measure; MEASURE_NOT_FOUND if it does not restrict the seller.
        AUDIENCE_SELLER leaves out what the seller may not see.
        """
        request = ListStatementsOfReasonsRequest(
            seller=seller_name(marketplace, seller),
            audience=audience,
            language=language,
            measure=measure,
            **bounds(None, None, at_least_sequence),
        )
        return invoke(self._answers.ListStatementsOfReasons, request, deadline_seconds)

    def replay_trust_score(
        self,
        marketplace: str,
        seller: str,
        answer: Stamp | TrustScore | trust_score_service_pb2.TrustScore | EvaluateMeasuresResponse,
        *,
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> ReplayTrustScoreResponse:
        """Answer again from the stamp of an old answer; its `state` says whether the bits are the same."""
        request = ReplayTrustScoreRequest(seller=seller_name(marketplace, seller))
        names = {
            Stamp: "stamp",
            trust_score_service_pb2.TrustScore: "trust_score",
            EvaluateMeasuresResponse: "measures",
        }
        message = answer.message if isinstance(answer, TrustScore) else answer
        getattr(request, names[type(message)]).CopyFrom(message)
        return invoke(self._answers.ReplayTrustScore, request, deadline_seconds)
