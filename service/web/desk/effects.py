from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sellertrust.v1.answer_service_pb2 import SimulateTrustScoreResponse
from sellertrust.v1.entry_pb2 import MeasureKind, Tier
from sellertrust.v1.measure_service_pb2 import Measure
from service.web.desk.measure_words import describe_value
from service.web.frame.rendering import word

LARGE_SUM_MINOR = 1_000_000
"""A deposit or limit that moves so much needs two persons: 10,000.00 in most currencies."""


@dataclass(frozen=True)
class Effect:
    tier_before: str
    tier_after: str
    begins: Sequence[tuple[str, str]]
    ends: Sequence[tuple[str, str]]
    sum_minor: int
    currency: str
    is_grave: bool
    """A suspension or closure, or a large sum: two persons decide, by opened evidence."""


def effect_of(answer: SimulateTrustScoreResponse) -> Effect:
    """Compare measures. `sum_minor`: how much the deposit rises and the paid-ahead limit falls."""
    before, after = answer.present_measures, answer.simulated_measures
    old, new = _in_words(before.measures, before.currency), _in_words(after.measures, after.currency)
    moved = max(0, after.terms.deposit_minor - before.terms.deposit_minor)
    moved += max(0, before.terms.ahead_limit_minor - after.terms.ahead_limit_minor)
    begins = [new[name] for name in new if old.get(name) != new[name]]
    stops_trade = any(kind == "Suspension" for kind, _ in begins)
    return Effect(
        Tier.Name(answer.present.tier),
        Tier.Name(answer.simulated.tier),
        begins,
        [old[name] for name in old if name not in new],
        moved,
        after.currency,
        is_grave=stops_trade or moved >= LARGE_SUM_MINOR,
    )


def _in_words(measures: Sequence[Measure], currency: str) -> Mapping[str, tuple[str, str]]:
    return {
        measure.measure or f"{measure.rule}~{measure.kind}": (
            word(MeasureKind.Name(measure.kind)),
            describe_value(measure.current if measure.HasField("current") else measure.original, currency),
        )
        for measure in measures
        if not (measure.waived or measure.lifted)
    }
