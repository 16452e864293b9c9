"""Terms of trade for the simulated year."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scoring.base.enums import Tier
from scoring.policy.caution import CautionTable
from scoring.policy.measures import FOR_GOOD, NO_CAP, UNTIL_PLAN, Terms
from scoring.policy.policy import Policy
from scoring.policy.rules import FailureRate, Operand, Quantity, SettledValue, Situation
from training.market.tables import Floats, Ints

PLAN_DAYS = 14
"""Days of a suspension until a plan of action is accepted."""


@dataclass(frozen=True)
class View:
    day: int
    orders: int
    settled_minor: int
    tenure_days: int
    standing: int
    points: int
    defects: float
    """The share of the orders of the last 60 days that were disputed; 0 without orders."""
    facts: Mapping[Operand, int]


class Regime(Protocol):
    name: str
    waits_for_delivery: bool
    caution: CautionTable | None
    share_days: int
    """Days whose settled value deposits are shares of."""

    def terms(self, seller: View) -> tuple[Terms, bool]: ...


class ByPolicy:
    waits_for_delivery = True

    def __init__(self, policy: Policy, *, with_caution: bool = True) -> None:
        self.policy = policy
        self.caution = policy.caution if with_caution else None
        self.share_days = policy.rule_book.share_days
        self.name = policy.name if with_caution or policy.caution is None else f"{policy.name} without caution"
        steps: dict[Operand, set[int]] = {}
        for operand, value in policy.rule_book.list_edges():
            steps.setdefault(operand, {0}).add(value)
        self._steps = {operand: sorted(values) for operand, values in steps.items()}
        self._known: dict[tuple[Tier, bool, tuple[int, ...]], Terms] = {}

    def terms(self, seller: View) -> tuple[Terms, bool]:
        policy = self.policy
        is_thin = policy.is_thin(seller.orders, seller.tenure_days)
        tier = policy.tier_with_standing(seller.points, seller.standing)
        if is_thin and not seller.standing:
            tier = Tier.UNRATED
        stated = {
            **seller.facts,
            SettledValue(): seller.settled_minor,
            Quantity.STANDING: seller.standing,
            Quantity.TENURE: seller.tenure_days,
            Quantity.DAY: seller.day,
        }
        values = {
            operand: steps[max(bisect_right(steps, stated.get(operand, 0)) - 1, 0)]
            for operand, steps in self._steps.items()
        }
        is_lowered = is_thin and seller.standing > 0
        key = (tier, is_lowered, tuple(values.values()))
        if key not in self._known:
            situation = Situation.of_values(tier, values, rated_by_violation=is_lowered)
            self._known[key] = policy.rule_book.terms(situation)
        fails = any(value for operand, value in values.items() if isinstance(operand, FailureRate))
        return self._known[key], seller.standing > 0 or fails


class FixedReserve:
    """As a large marketplace: payouts of new sellers and those with a bad metric wait longer."""

    name = "fixed reserve"
    waits_for_delivery = False
    caution = None
    share_days = 0

    def __init__(self, defects: float = 0.01, new_days: int = 90, days: int = 14, usual_days: int = 3) -> None:
        self._defects, self._new_days = defects, new_days
        self._held, self._usual = Terms(hold_days=days), Terms(hold_days=usual_days)

    def terms(self, seller: View) -> tuple[Terms, bool]:
        is_bad = seller.defects > self._defects
        return (self._held if is_bad or seller.tenure_days < self._new_days else self._usual), is_bad


class NoTerms:
    name = "none"
    waits_for_delivery = False
    caution = None
    share_days = 0

    def terms(self, seller: View) -> tuple[Terms, bool]:
        return Terms(hold_days=1), False


def draw_points(incidents: Floats, orders: Floats) -> Ints:
    """Return points by incidents and orders of a year: 600 at odds 20 to 1, 50 double the odds; int64 of their shape.

    A Gamma prior with a mean of 0.02 incidents in 1,000 orders, worth 1,000 orders. Worked: none in 10,000 orders is a
    chance of 0.0018, odds of 549 to 1, 839 points.
    """
    rate = (0.02 + incidents) / (1.0 + orders / 1_000.0)
    odds = np.exp(-rate) / -np.expm1(-rate)
    return np.asarray(np.clip(np.rint(600 + 50 * np.log2(odds / 20)), 0, 1_000), dtype=np.int64)


def cap_of(terms: Terms) -> int:
    return min((cap for category, cap in terms.value_caps if not category), default=NO_CAP)


def find_suspended(days: Sequence[int]) -> list[bool]:
    """Return the days of suspensions, by the length in a seller's terms on each day.

    A suspension begins when its length rises, and is served once: 7, 7, ... for ten days suspend on the first seven.
    """
    found, until, before = [], -1, 0
    for day, length in enumerate(days):
        if length > before:
            until = day + {FOR_GOOD: 10**9, UNTIL_PLAN: PLAN_DAYS}.get(length, length)
        before = length
        found.append(day < until)
    return found
