from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sellertrust.client import Client
from sellertrust.names import seller_name
from sellertrust.v1.entry_pb2 import MEASURE_KIND_SUSPENSION, Entry, StatusChanged
from sellertrust.v1.measure_service_pb2 import EvaluateMeasuresResponse, Measure, MeasureValue
from sellertrust.v1.trust_score_service_pb2 import AUDIENCE_STAFF, TrustScore
from service.web.desk.calls import READ_SECONDS

LARGE_SUM_MINOR = 1_000_000
"""A deposit or limit that moves so much needs two persons: 10,000.00 in most currencies."""


@dataclass(frozen=True)
class Effect:
    before: TrustScore
    after: TrustScore
    begins: Sequence[Measure] = ()
    ends: Sequence[Measure] = ()
    sum_minor: int = 0
    """How much the deposit rises and the paid-ahead limit falls."""
    currency: str = ""
    is_grave: bool = False
    """A suspension or closure, or a large sum: two persons decide, by opened evidence."""


def simulate_decision(client: Client, marketplace: str, seller: str, decision: StatusChanged) -> Effect:
    """Return what a decision would change, without recording it.

    It is grave, so that two persons must agree, if it suspends or moves LARGE_SUM_MINOR or more.
    """
    entry = Entry(seller=seller_name(marketplace, seller), status=decision)
    answer = client.simulate_trust_score(
        marketplace, seller, [entry], audience=AUDIENCE_STAFF, deadline_seconds=READ_SECONDS
    )
    before, after = answer.present_measures, answer.simulated_measures
    old, new = _list_in_force(before), _list_in_force(after)
    sum_minor = max(0, after.terms.deposit_minor - before.terms.deposit_minor)
    sum_minor += max(0, before.terms.ahead_limit_minor - after.terms.ahead_limit_minor)
    begins = [
        measure for name, measure in new.items() if name not in old or _find_value(old[name]) != _find_value(measure)
    ]
    suspends = any(measure.kind == MEASURE_KIND_SUSPENSION for measure in begins)
    ends = [old[name] for name in old if name not in new]
    is_grave = suspends or sum_minor >= LARGE_SUM_MINOR
    return Effect(answer.present, answer.simulated, begins, ends, sum_minor, after.currency, is_grave)


def _list_in_force(answer: EvaluateMeasuresResponse) -> Mapping[str, Measure]:
    return {
        measure.measure or f"{measure.rule}~{measure.kind}": measure
        for measure in answer.measures
        if not (measure.waived or measure.lifted)
    }


def _find_value(measure: Measure) -> MeasureValue:
    return measure.current if measure.HasField("current") else measure.original
