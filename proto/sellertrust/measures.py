"""The part of the client that asks which measures are in force."""

from sellertrust.requests import Time, bounds, invoke, policy_name, seller_name
from sellertrust.v1.measure_service_pb2 import EvaluateMeasuresRequest, EvaluateMeasuresResponse
from sellertrust.v1.measure_service_pb2_grpc import MeasureServiceStub

MEASURE_SECONDS = 5.0
"""Measures are looked back on day by day, which takes longer than a score."""


class Measures:
    """The part of the client that speaks to MeasureService."""

    _measures: MeasureServiceStub

    def evaluate_measures(
        self,
        marketplace: str,
        seller: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        policy: str = "",
        deadline_seconds: float = MEASURE_SECONDS,
    ) -> EvaluateMeasuresResponse:
        """Return what is in force for one seller.

        Each measure with its rule, times and entries, and the terms of all. `policy`: a digest, or its beginning, of a
        policy to answer by; by default the one that is served.
        """
        request = EvaluateMeasuresRequest(
            seller=seller_name(marketplace, seller),
            policy=policy and policy_name(policy),
            **bounds(observe_time, known_time, at_least_sequence),
        )
        return invoke(self._measures.EvaluateMeasures, request, deadline_seconds)
