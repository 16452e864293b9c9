"""Persons' grants to single sellers: tiers that they set, and measures of rules that they lifted."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

from scoring.base.enums import MeasureKind, Tier
from scoring.base.errors import CertificateRefused
from scoring.base.time import format_time
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX
from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.states import build_states
from scoring.loss_certificate.takes import Take, find_takes, join_largest
from scoring.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class GrantedSeller:
    marketplace: str
    seller: str
    tier: Tier | None
    until: int | None
    """The end of a person's tier, in microseconds."""
    lifted: frozenset[tuple[str, MeasureKind]]
    """(rule, kind) of each measure."""


@dataclass(frozen=True, slots=True)
class GrantedExceptions:
    sequence: int
    sellers: tuple[GrantedSeller, ...]


def read_lifted(names: Collection[str]) -> frozenset[tuple[str, MeasureKind]]:
    """Return (rule, kind) of measures by their recorded ids: `rule~newcomers~deposit~` and 16 digits.

    A caution's rule, `caution~` and its id, is outside policies and moves no bound. Ids of another form are skipped.
    """
    parts = (name.removeprefix(RULE_MEASURE_PREFIX).rsplit("~", 2) for name in names)
    kinds = {kind.name.lower(): kind for kind in MeasureKind}
    return frozenset((part[0], kinds[part[1]]) for part in parts if len(part) == 3 and part[1] in kinds)


def show_granted(
    policy: Policy, assumptions: Assumptions, granted: GrantedExceptions | None, largest: Take
) -> dict[str, Any] | None:
    """Return `sequence` and `sellers`, the grants, as JSON values; None if `granted` is None.

    Each seller's `most` is its largest take, an object of Take's fields, or None if unbounded. `is_within`: whether it
    is at most `largest`, that of all other sellers. Sellers with neither a tier nor a lifted measure of this policy are
    left out.
    """
    if granted is None:
        return None
    stated = {(rule.id, measure.kind) for rule in policy.rule_book.rules for measure in rule.measures}
    take_of_lifted: dict[frozenset[tuple[str, MeasureKind]], Take | None] = {}
    shown = []
    for seller in granted.sellers:
        lifted = seller.lifted & stated
        if seller.tier is None and not lifted:
            continue
        if lifted not in take_of_lifted:
            take_of_lifted[lifted] = bound_take(policy, assumptions, lifted)
        take = take_of_lifted[lifted]
        shown.append(
            {
                "marketplace": seller.marketplace,
                "seller": seller.seller,
                "tier": None if seller.tier is None else seller.tier.name.lower(),
                "until": None if seller.until is None else format_time(seller.until),
                "lifted": [{"rule": rule, "kind": kind.name.lower()} for rule, kind in _by_name(lifted)],
                "most": None if take is None else asdict(take),
                "is_within": take is not None and _is_within(take, largest),
            }
        )
    return {"sequence": granted.sequence, "sellers": shown}


def _by_name(lifted: Collection[tuple[str, MeasureKind]]) -> list[tuple[str, MeasureKind]]:
    return sorted(lifted, key=lambda one: (one[0], one[1].name.lower()))


def _is_within(take: Take, largest: Take) -> bool:
    return take.gross_minor <= largest.gross_minor and take.after_refunds_minor <= largest.after_refunds_minor


def bound_take(policy: Policy, assumptions: Assumptions, lifted: Collection[tuple[str, MeasureKind]]) -> Take | None:
    """Return the largest take with lifted measures, at any tier and history; None if unbounded."""
    lifted = {*lifted} | {
        (rule.secures, MeasureKind.DEPOSIT)  # a deposit that no rule awaits may be missing
        for rule in policy.rule_book.rules
        if (rule.id, MeasureKind.VALUE_CAP) in lifted and rule.secures
    }
    rules = tuple(
        replace(rule, measures=tuple(m for m in rule.measures if (rule.id, m.kind) not in lifted))
        for rule in policy.rule_book.rules
    )
    without = replace(policy, rule_book=replace(policy.rule_book, rules=rules))
    try:
        return join_largest(find_takes(without, build_states(without, assumptions), assumptions).values())
    except CertificateRefused:
        return None
