import random
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoring.base.enums import Category, MeasureKind, Severity, Status, Tier
from scoring.base.time import DAY, format_day
from scoring.features.columns import FactRow, tabulate
from scoring.features.resolved import resolve_as_reported, resolve_sellers
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from scoring.scores.population import NO_TIER, Placement, Population, observe, place
from scoring.scores.settled_value import add_up_recent_settled
from scoring.scores.tiers import find_cases_with_violation
from tests.helpers.answers import evaluate_measures, score, with_values
from tests.helpers.policies import GRADED
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, override, violation

POLICIES = Path(__file__).parents[2] / "service" / "policy"
SELLERS = [f"s{number}" for number in range(150)]
DEPOSITS = [random.Random(number).choice([0, 0, 30_000, 69_999, 70_000]) for number in range(150)]

HELD = [
    DEPOSITS,
    *([random.Random(n * 99 + ago).choice([0, 9_000, one, one]) for n, one in enumerate(DEPOSITS)] for ago in range(4)),
]

SHARES = """
[[rules]]
id = "share"
reference = "Seller terms 7.8"
standing = { from = 1 }
measures = [{ kind = "deposit", amount_minor = 8_000, ppm = 30_000, days = 90 }]

[[rules]]
id = "share-by-facts"
reference = "Seller terms 7.9"
standing = { from = 12 }
measures = [{ kind = "deposit", ppm = 90_000, days = 90 }]
"""

GROUP = """
[[rules]]
id = "toys"
reference = "Notice 3"
group = { product_category = "toys", from = "%s", until = "%s", legal_ground = "recall order 7" }
measures = [{ kind = "intake_cap", new_listings = 0, product_category = "toys" }]

[[rules]]
id = "young"
reference = "Seller terms 7.5"
tenure = { below = 30 }
measures = [{ kind = "settlement_hold", days = 90 }]

[[rules]]
id = "twice"
reference = "Seller terms 9.5"
confirmed = { categories = ["ip", "quality"], severity = "moderate", incidents = 2, days = 200 }
measures = [{ kind = "manual_review" }, { kind = "settlement_hold", days = 60 }]

[[rules]]
id = "unsecured"
reference = "Seller terms 7.6"
deposit = { below = 70_000 }
measures = [{ kind = "listing_cap", listings = 90 }]

[[rules]]
id = "failing"
reference = "Seller terms 7.7"
failure_rate = { from_ppm = 100_000, days = 90, orders = 50 }
measures = [{ kind = "intake_cap", new_listings = 7 }]
"""


def shipped(name: str, more: str = "") -> Policy:
    return parse_policy(tomllib.loads((GRADED if name == "graded" else POLICIES / f"{name}.toml").read_text() + more))


def shares(more: str) -> Policy:
    text = (POLICIES / "general.toml").read_text()
    refilled = "deposit_is_refilled = true\ndeposit_refill_days = 4"
    return parse_policy(tomllib.loads(text.replace("deposit_is_refilled = false", refilled) + more + SHARES))


def world(seed: int) -> tuple[list[FactRow], dict[str, int]]:
    chance = random.Random(seed)
    rows: list[FactRow] = []
    for seller in SELLERS[1:]:
        mine = [identity(f"i-{seller}", TODAY - chance.choice([1, 20, 40, 600]))]
        mine += [
            exposure(
                f"x-{seller}-{n}", TODAY - 1 - chance.randrange(300), sold := chance.randrange(200), sold // 8
            )._replace(product_category=chance.choice(["toys", "food"]), revision=n)
            for n in range(chance.randrange(6))
        ]
        mine += [
            violation(
                f"v-{seller}-{n}", TODAY - 1 - chance.randrange(400), chance.randrange(1, 9), chance.randrange(1, 5),
                chance.choice([Status.CONFIRMED, Status.CONFIRMED, Status.ALLEGED]), f"n-{seller}-{chance.randrange(3)}",
            )
            for n in range(chance.choice([0, 0, 0, 1, 2, 5]))
        ]  # fmt: skip
        if chance.random() < 0.1:
            tier, until = chance.choice([*Tier]), NOW + chance.choice([-DAY, DAY])
            mine.append(override(f"o-{seller}", NOW - 9 * DAY, tier, until))
        rows += [row._replace(seller=seller) for row in mine]
    rows = numbered(rows)
    return rows, {row.entry_id: chance.choice([0, 300_000, 900_000]) for row in rows if row.entry_id.startswith("x-")}


def placed(
    policy: Policy, seed: int, *, with_model: bool = True
) -> tuple[list[FactRow], dict[str, int], Population, Placement]:
    rows, values = world(seed)
    known = resolve_sellers(SELLERS, with_values(rows, SELLERS, values, policy.rule_book.currency), NOW)
    people = observe(known, "acme", artifact() if with_model else None, [policy, replace(policy, clear_days=30)])
    return rows, values, people, place(policy, people, np.array(HELD))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["general", "ladder", "tiers", "shares"])
def test_every_seller_is_placed_as_when_asked_for_alone(name: str, seed: int) -> None:
    more = GROUP % (format_day(TODAY - 5), format_day(TODAY + 5))
    policy = shares(more) if name == "shares" else shipped(name, "" if name == "tiers" else more)
    rows, values, people, found = placed(policy, seed)
    answers = score(rows, SELLERS, NOW, artifact(), policy)
    recent = add_up_recent_settled(people.facts, people.known.table, policy.rule_book)
    rules: Counter[str] = Counter()
    for case, (seller, answer) in enumerate(zip(SELLERS, answers, strict=True)):
        if answer is None:
            assert (people.exists[case], found.tier[case]) == (False, NO_TIER)
            continue
        mine = [row for row in rows if row.seller == seller]
        placed_minor = DEPOSITS[case]
        held = [of_day[case] for of_day in HELD]
        alone = evaluate_measures(mine, seller, NOW, artifact(), policy, "acme", values, deposits_minor=held)
        assert answer.tier is Tier(found.tier[case])
        terms = found.terms[found.terms_of[case]]
        owed = terms.find_deposit(int(recent[case]))
        terms = replace(terms, deposit_minor=max(owed - placed_minor, 0), deposit_ppm=0, deposit_days=0)
        assert replace(terms, suspension_days=0) == replace(alone.terms, suspension_days=0), seller
        if alone.terms.suspension_days:
            assert terms.suspension_days >= alone.terms.suspension_days
        rules.update({m.rule for m in alone.measures if m.original.kind is not MeasureKind.SUSPENSION})
    later = {r.id for r in policy.rule_book.rules if r.begins_later}
    later |= {r.id for r in policy.rule_book.rules if any(m.kind is MeasureKind.SUSPENSION for m in r.measures)}
    assert {k: v for k, v in found.by_rule.items() if k not in later and v} == {
        k: v for k, v in rules.items() if k not in later
    }


def test_without_a_model_there_is_no_tier_and_facts_hold() -> None:
    policy = shipped("graded")
    _, _, _, with_model = placed(policy, 1)
    _, _, _, without = placed(policy, 1, with_model=False)
    assert set(without.tier.tolist()) == {NO_TIER}
    assert set(without.tier_points.tolist()) == {-1}
    for name in ("new-listings-reviewed", "suspended-a-week"):
        assert without.by_rule[name] == with_model.by_rule[name] > 0
    assert without.by_rule["newcomers"] == 0


def test_products_are_told_by_name() -> None:
    rows, _, people, _ = placed(shipped("general"), 2)
    for case, seller in enumerate(SELLERS):
        orders: Counter[str] = Counter()
        for row in rows:
            if row.seller == seller and row.exposure_day is not None:
                orders[str(row.product_category)] += row.settled_orders or 0
        assert bool(people.sells("toys")[case]) == ("toys" in orders)
        most = max(orders.values(), default=0)
        assert people.largest_products()[case] in (
            {n for n, count in orders.items() if count == most} if most else {""}
        )


def test_what_was_not_reported_yet_is_not_known() -> None:
    early, late = identity("i", TODAY - 90), violation("v", TODAY - 80, Category.SAFETY, Severity.MAJOR)
    table = tabulate([early, late._replace(report_time=NOW)], ["s"], [])
    now = resolve_sellers(["s"], table, NOW + 1)
    assert find_cases_with_violation(observe(now, "acme", None, [shipped("general")]).facts).tolist() == [True]
    before = resolve_as_reported(["s"], table, NOW)
    assert find_cases_with_violation(observe(before, "acme", None, [shipped("general")]).facts).tolist() == [False]
