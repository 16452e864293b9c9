import copy
import random
import tomllib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from scoring.base.canonical import JsonObject
from scoring.base.enums import Category, Severity, Tier
from scoring.base.errors import PolicyRefused
from scoring.base.time import DAY
from scoring.entries.violation_types import TYPE_NUMBERS, category_of_type
from scoring.policy.difference import CellOutcome
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from scoring.policy.rules import FailureRate
from scoring.policy.sample import Breach, SampleSeller
from scoring.policy.space import Cell, Space
from tests.helpers.worlds import NOW, override

TIERS = Path(__file__).parents[2] / "service" / "policy" / "tiers.toml"
"""The policy without measures."""
GRADED = Path(__file__).parents[1] / "data" / "graded.toml"
"""Terms by tier, deposits, reserves and steps of settled value: the first version of the general policy."""
SEVERITIES = ("minor", "moderate", "major", "critical")

POINTS = {
    "counterfeit": (1, 4, 12, 24),
    "ip": (1, 3, 8, 16),
    "safety": (1, 4, 12, 24),
    "quality": (1, 2, 4, 8),
    "restricted": (1, 4, 12, 24),
    "integrity": (1, 3, 8, 16),
    "service": (0, 1, 2, 4),
    "disclosure": (1, 1, 2, 4),
}


def standing() -> JsonObject:
    return {
        "expiry_days": 365,
        "incident_cap": 24,
        "points": {name: dict(zip(SEVERITIES, points, strict=True)) for name, points in POINTS.items()},
        "at_most": {"trusted": 2, "standard": 6, "probation": 12},
    }


def data(**parts: Any) -> JsonObject:
    """Return the data of the policy without measures, without standing, by round cut-offs, with other or more parts."""
    shipped = tomllib.loads(TIERS.read_text(encoding="utf-8"))
    del shipped["standing"]
    return copy.deepcopy(shipped | {"cut_offs": {"standard": 500, "trusted": 600, "exemplary": 700}} | parts)


@cache
def with_standing() -> Policy:
    return parse_policy(data(standing=standing()))


def cell_of(space: Space, seller: SampleSeller) -> Cell:
    situations = [seller.situation(policy) for policy in space.policies]
    points = seller.points if seller.tier is None else 0
    return Cell(
        points=None if points is None else _floor([p for p in space.points if p is not None], points),
        tier=seller.tier,
        # A situation has counts of its own policy alone.
        values=tuple(
            _floor(axis.values, max(situations[place].value(axis.operand) for place in axis.places))
            for axis in space.axes
        ),
        marketplace=seller.marketplace if seller.marketplace in space.marketplaces else "",
        thin=tuple(place for place, situation in enumerate(situations) if situation.rated_by_violation),
    )


def _floor(values: Sequence[int], value: int) -> int:
    return values[bisect_right(values, value) - 1]


def sample(chance: random.Random) -> SampleSeller:
    breaches = tuple(breach(chance) for _ in range(chance.choice([0, 0, 1, 2, 3, 6, 9])))
    points = chance.choice([0, 499, 500, 599, 600, 699, 700, 1000, chance.randrange(1001)])
    toys = chance.choice([0, 899, 900, chance.randrange(2_000)])
    failed = chance.choice([0, 49_999, 50_000, 900_000])
    return SampleSeller(
        points=points if breaches or chance.random() < 0.8 else None,
        breaches=breaches,
        settled_minor={"toys": toys, "": toys + chance.choice([0, 499_999, 500_000, 2_000_000, 10_000_000])},
        day=chance.choice([20_512, 20_513, 20_542, 20_543, chance.randrange(20_000, 21_000)]),
        marketplace=chance.choice(["", "acme"]),
        tier=chance.choice([*Tier]) if chance.random() < 0.1 else None,
        tenure_days=chance.choice([0, 89, 90, 500]),
        deposit_minor=chance.choice([0, 0, 3, 5, 699, 700, 10**9]),
        orders=chance.choice([None, 0, 9, 10, 20]) if breaches else None,
        good_orders=chance.choice([0, 99, 100, 5_000]),
        measured={FailureRate(30, 10): failed, FailureRate(30, 10, ("late",)): chance.choice([0, failed])},
    )


def breach(chance: random.Random) -> Breach:
    number = chance.choice([0, 0, *TYPE_NUMBERS.values()])
    return Breach(
        category_of_type(number) if number else chance.choice([*Category]),
        chance.choice([*Severity]),
        chance.choice([0, 29, 30, 199, 200, 364, 365, chance.randrange(500)]),
        chance.randrange(6),
        number,
    )


def direct(policy: Policy, seller: SampleSeller) -> CellOutcome:
    situation = seller.situation(policy)
    return CellOutcome(
        situation.tier, policy.badges[situation.tier], policy.rule_book.terms(situation), policy.rule_book.currency
    )


def rule(name: str, *measures: JsonObject, **conditions: Any) -> JsonObject:
    return {"id": name, "reference": "terms 1", "measures": list(measures), **conditions}


def policy_of(*rules: JsonObject, **parts: Any) -> Policy:
    return parse_policy(data(**{"standing": standing(), "currency": "EUR", "rules": list(rules)} | parts))


def shipped(name: str) -> Policy:
    path = GRADED if name == "graded" else TIERS.with_name(f"{name}.toml")
    return parse_policy(tomllib.loads(path.read_text(encoding="utf-8")))


HOLD = {"kind": "settlement_hold", "days": 7}


def refused(*rules: JsonObject, **parts: Any) -> str:
    with pytest.raises(PolicyRefused) as error:
        policy_of(*rules, **parts)
    return str(error.value)


CLOSED = {"kind": "suspension", "terminates": True, "notice_days": 30}


GENERAL = shipped("general")


POLICIES = (
    GENERAL,
    replace(GENERAL, standing=None, thin_file_orders=2_000),
    replace(GENERAL, clear_days=0, thin_file_days=580),
)


OVERRIDES = st.lists(
    st.tuples(st.integers(1, 300 * DAY), st.sampled_from([*Tier]), st.integers(1, 300 * DAY)), max_size=3
).map(
    lambda stated: [
        override(f"override-{n}", NOW - ago, tier, NOW - ago + lasts) for n, (ago, tier, lasts) in enumerate(stated)
    ]
)
