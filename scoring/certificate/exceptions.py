"""What persons granted single sellers beside a policy: tiers that they set, and measures of rules that they lifted."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from scoring.certificate.assumptions import Assumptions
from scoring.certificate.states import build_states
from scoring.certificate.takes import NO_TIER, Take, find_takes
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX
from scoring.enums import MeasureKind, Tier
from scoring.errors import CertificateRefused
from scoring.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Granted:
    """What persons granted one seller, as it stands."""

    marketplace: str
    seller: str
    tier: Tier | None
    """The tier that a person set; None if nobody did."""
    until: int | None
    """When that ends, in microseconds."""
    lifted: frozenset[tuple[str, MeasureKind]]
    """Rules and kinds of their measures that a person lifted."""


def read_lifted(names: Collection[str]) -> frozenset[tuple[str, MeasureKind]]:
    """Return (rule, kind) of measures by their ids in the record: `rule~newcomers~deposit~` and 16 digits."""
    parts = (name.removeprefix(RULE_MEASURE_PREFIX).split("~") for name in names)
    return frozenset((rule, MeasureKind[kind.upper()]) for rule, kind, _ in parts)


def bound_take(policy: Policy, assumptions: Assumptions, granted: Granted) -> Take | None:
    """Return the largest take of a seller with what it was granted, whatever its history; None if nothing bounds it.

    Of one whose tier a person set, the take of that tier alone; of others, that of the tier with the largest.
    """
    rules = tuple(
        replace(rule, measures=tuple(m for m in rule.measures if (rule.id, m.kind) not in granted.lifted))
        for rule in policy.rule_book.rules
    )
    without = replace(policy, rule_book=replace(policy.rule_book, rules=rules))
    try:
        takes = find_takes(without, build_states(without, assumptions), assumptions)
    except CertificateRefused:
        return None
    if granted.tier is not None:
        return takes[granted.tier.name.lower()]
    return max((take for name, take in takes.items() if name != NO_TIER), key=lambda take: take.after_refunds_minor)
