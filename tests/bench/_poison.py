"""Small sellers that strangers try to freeze free of charge: refunded purchases, and reports by crowds.

A seller is frozen if one of its orders is held longer, or it must provide more, than without the attack.
"""

import random
from collections.abc import Sequence
from typing import Any

from scoring.base.enums import Severity, Source, Status
from scoring.base.time import DAY
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from scoring.features.columns import FactRow
from scoring.measures.in_force import InForce
from scoring.policy.policy import Policy
from tests.helpers.answers import evaluate_measures
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, violation

SELLERS = 600
ATTACKS = ("refunded the same day", "refunded later", "crowd")


def measure(policy: Policy) -> dict[str, float]:
    chance = random.Random(25)
    frozen = sum(_is_frozen(chance, policy, ATTACKS[number % len(ATTACKS)]) for number in range(SELLERS))
    return {"poison.small_sellers": SELLERS, "poison.frozen_free": frozen}


def _is_frozen(chance: random.Random, policy: Policy, attack: str) -> bool:
    first = TODAY - chance.choice([2, 7])
    usual = {day: _sold(chance.randint(1, 4), chance.randint(1_000, 6_000)) for day in range(TODAY - 60, TODAY)}
    rows = [identity("i", TODAY - 600), *(exposure(f"x{ago}", TODAY - ago, 40) for ago in (20, 50, 90))]
    before = _evaluate(rows, usual, policy)
    orders, each = chance.randint(12, 40), chance.randint(60_000, 90_000)
    bought = usual | {first: _sold(orders, each)}
    if attack == "crowd":
        rows += [_report(n, first, chance.choice([Source.BUYER, Source.BRAND, Source.PARTNER])) for n in range(90)]
        bought = usual
        rows.append(_report(90, first, Source.PLATFORM_DETECTION))
    moments = [_evaluate(rows, bought, policy)]
    if attack != "crowd":
        back = first if attack == "refunded the same day" else chance.randint(first + 1, TODAY - 1)
        moments.append(_evaluate(rows, bought | {back: bought[back] | _refunded(orders, each)}, policy))
    confirmed = first * DAY - 1
    return (
        any(one.find_terms_for_earlier(confirmed).hold_days > before.terms.hold_days for one in moments)
        or moments[-1].terms != before.terms
    )


def _sold(orders: int, each: int) -> dict[str, Any]:
    return {"captured_orders": orders, "captured_minor": orders * each, "delivered_orders": orders}


def _refunded(orders: int, each: int) -> dict[str, Any]:
    return {"refunded_orders": orders, "refunded_minor": orders * each}


def _report(number: int, day: int, source: Source) -> FactRow:
    row = violation(f"r{number}", day, 1, int(Severity.CRITICAL), Status.ALLEGED, "")
    return row._replace(source=int(source))


def _evaluate(rows: Sequence[FactRow], days: dict[int, dict[str, Any]], policy: Policy) -> InForce:
    flow = [
        FlowDay(f"f{day}", 0, FlowStated(day, currency="EUR", **counts), (day + 1) * DAY - 1, f"f{day}")
        for day, counts in sorted(days.items())
    ]
    found = evaluate_measures(numbered([*rows]), "s", NOW, artifact(), policy, "acme", flows={"s": flow})
    if found is None:
        raise RuntimeError("a seller of the bench is unknown")
    return found
