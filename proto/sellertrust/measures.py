"""The client of MeasureService."""

from datetime import date

from sellertrust.names import policy_name, seller_name
from sellertrust.requests import Time, bounds, invoke, times
from sellertrust.stubs import Stubs
from sellertrust.v1.measure_service_pb2 import (
    DELIVERY_SOURCE_UNSPECIFIED,
    DeliverySource,
    EvaluateMeasuresRequest,
    EvaluateMeasuresResponse,
    EvaluatePayoutRequest,
    EvaluatePayoutResponse,
    GetRestitutionRequest,
    GetRestitutionResponse,
)

MEASURE_SECONDS = 5.0
"""Measures are evaluated day by day, which takes longer than a score."""


class Measures(Stubs):
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
        """Return one seller's measures in force, with rules, times and entries, and the resulting terms.

        `policy`: the digest, or its beginning, of a policy to use; by default the served one.
        """
        request = EvaluateMeasuresRequest(
            seller=seller_name(marketplace, seller),
            policy=policy and policy_name(policy),
            **bounds(observe_time, known_time, at_least_sequence),
        )
        return invoke(self._measures.EvaluateMeasures, request, deadline_seconds)

    def evaluate_payout(
        self,
        marketplace: str,
        seller: str,
        *,
        capture_day: date | str,
        captured_minor: int,
        currency: str,
        product_category: str = "",
        delivered: bool = False,
        confirmed_time: Time | None = None,
        delivery_source: "DeliverySource.ValueType" = DELIVERY_SOURCE_UNSPECIFIED,
        others_paid_ahead_minor: int | None = None,
        disputed: bool = False,
        refunded_minor: int = 0,
        claims_minor: int = 0,
        drawn_minor: int = 0,
        drawn_day: date | str = "",
        day: date | str = "",
        at_least_sequence: int = 0,
        deadline_seconds: float = MEASURE_SECONDS,
    ) -> EvaluatePayoutResponse:
        """Return the released, drawn and held parts of one order on a day, by the terms fixed at its capture.

        Amounts are in minor units of `currency` (cents), days are dates or `YYYY-MM-DD`; `day` is today by default.
        `confirmed_time`: when the delivery was confirmed, by the `delivery_source`. `others_paid_ahead_minor` is the
        sum paid out on the seller's other young orders, as in the request. None is unknown: nothing is paid out on a
        young order.
        """
        request = EvaluatePayoutRequest(
            seller=seller_name(marketplace, seller),
            capture_day=str(capture_day),
            captured_minor=captured_minor,
            currency=currency,
            product_category=product_category,
            delivered=delivered,
            disputed=disputed,
            refunded_minor=refunded_minor,
            claims_minor=claims_minor,
            drawn_minor=drawn_minor,
            drawn_day=str(drawn_day),
            day=str(day),
            at_least_sequence=at_least_sequence,
            delivery_source=delivery_source,
            others_paid_ahead_minor=others_paid_ahead_minor,
            **times(confirmed_time=confirmed_time),
        )
        return invoke(self._measures.EvaluatePayout, request, deadline_seconds)

    def get_restitution(
        self,
        marketplace: str,
        seller: str,
        violation: str,
        *,
        at_least_sequence: int = 0,
        deadline_seconds: float = MEASURE_SECONDS,
    ) -> GetRestitutionResponse:
        """Return the recorded measures that were based on an overturned violation, their durations, and the amounts
        they held.
        """
        request = GetRestitutionRequest(
            seller=seller_name(marketplace, seller), violation=violation, at_least_sequence=at_least_sequence
        )
        return invoke(self._measures.GetRestitution, request, deadline_seconds)
