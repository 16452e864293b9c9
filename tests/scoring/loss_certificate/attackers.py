"""Adaptive attackers: plans played on the marketplace; the best are varied and played again."""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from scoring.base.enums import Category, Severity, Tier
from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.states import States
from scoring.policy.policy import Policy
from scoring.policy.sample import Breach
from tests.scoring.loss_certificate.lives import Life, asked_for, cap_of

MAX_DAYS = 6_000
TIERS = (None, *Tier)
BREACHES = [(category, severity) for category in (Category.COUNTERFEIT, Category.SERVICE) for severity in Severity]


@dataclass(frozen=True)
class Plan:
    fakes: bool
    """Whether it sells to itself; else it trades in earnest, at no gain."""
    target: int
    pace: float
    """The share of a day's limit that it sells."""
    greed: float
    """It also runs once a day's orders are worth so many times the cost of its history."""
    tier: Tier | None
    run_tier: Tier | None
    parts: int
    zeal: float
    waits: int
    refunds: float
    """The chance per day that it refunds a sale."""
    season: int


def draw_plan(policy: Policy, chance: random.Random, fakes: bool) -> Plan:
    steps = [0, *asked_for(policy)[0]]
    return Plan(
        fakes=fakes,
        target=max(chance.choice(steps) + chance.choice([0, 0, 0, 1, -1, chance.randrange(10**6)]), 0),
        pace=chance.choice([1.0, 1.0, chance.random()]),
        greed=chance.choice([10**9, 10**9, chance.random() * 20]),
        tier=chance.choice(TIERS),
        run_tier=chance.choice([None, Tier.EXEMPLARY, chance.choice(TIERS)]),
        parts=chance.choice([1, 1, 3, 40]),
        zeal=chance.choice([1.0, 1.0, chance.random()]),
        waits=chance.choice([0, 30, 90, chance.randrange(200)]),
        refunds=chance.choice([0, 0, 0.01]),
        season=chance.randrange(9),
    )


def change_plan(plan: Plan, policy: Policy, chance: random.Random) -> Plan:
    other = draw_plan(policy, chance, plan.fakes)
    names = chance.sample(["target", "pace", "greed", "tier", "run_tier", "parts", "zeal", "waits", "refunds"], 2)
    return replace(plan, **{name: getattr(other, name) for name in names})


def play(
    plan: Plan, policy: Policy, assumptions: Assumptions, chance: random.Random, known: dict[Any, Any], most: int
) -> Life:
    life = Life(policy, assumptions, plan.tier, known=known)
    while life.day < most and life.settled < plan.target:
        life.refill()
        terms = life.terms
        at_stake = cap_of(terms) * max(life.run_days - terms.hold_days, 0)
        if at_stake > plan.greed * max(-life.cash, 1):
            break
        sold = sum(value for _, value in life.pipeline)
        if life.settled + sold < plan.target:
            life.sell(max(int(cap_of(terms) * plan.pace), 1), to_itself=plan.fakes)
        if plan.refunds and chance.random() < plan.refunds:
            life.refund(cap_of(terms) // 2)
        life.sleep()
    for _ in range(plan.waits):
        life.sleep()
    life.tier = plan.run_tier
    life.choose_season(plan.season)
    life.refill()
    for _ in range(life.run_days):
        room = int(life.room() * plan.zeal)
        life.keep_none([room // plan.parts] * plan.parts)
        life.sleep()
    return life


def let_loose(
    policy: Policy, assumptions: Assumptions, fakes: bool, generations: int, each: int, seed: int, most: int = MAX_DAYS
) -> Iterator[tuple[Plan, Life, int]]:
    chance, known = random.Random(seed), {}
    best: list[tuple[int, Plan]] = []
    for generation in range(generations):
        for number in range(each):
            plan = draw_plan(policy, chance, fakes)
            if generation and number % 4:
                plan = change_plan(chance.choice(best)[1], policy, chance)
            life = play(plan, policy, assumptions, chance, known, most)
            total = life.end()
            best = sorted([*best, (total, plan)], key=lambda one: -one[0])[:8]
            yield plan, life, total


def live_at_random(policy: Policy, states: States, life: Life, chance: random.Random, days: int) -> int:
    """Live some days at random; return on how many days the real terms were laxer than the abstract state's.

    Days also count on which a name without refunds moved farther during a run than an edge leads.
    """
    laxer, place, takes_back = 0, (0, 0), chance.random() < 0.5
    for season in policy.rule_book.seasons:
        life.origin = season.first_day - chance.randrange(days)
    misbehaves, pauses = chance.random() < 0.3, chance.random() < 0.3
    for number in range(days):
        if misbehaves and chance.random() < 0.1:
            life.breach(f"v{number}", Breach(*chance.choice(BREACHES), incident=chance.randrange(3)))
        if misbehaves and chance.random() < 0.05 and life.breaches:
            life.overturn(chance.choice([*life.breaches]))
        if pauses and life.started is None and chance.random() < 0.1:
            life.day += chance.randrange(1, 400)
            life.sleep()
        life.tier = chance.choice((None, *Tier))
        if life.started is None:
            life.refill()
        terms = life.terms
        bucket = bisect_right(states.settled, life.settled) - 1
        tenure = bisect_right(states.tenure, life.day) - 1
        granted = states.granted[bucket][tenure]
        laxer += (
            cap_of(terms) > granted.cap_minor
            or terms.hold_days < granted.release.hold_days
            or (terms.reserve_ppm < granted.release.reserve_ppm or terms.reserve_days < granted.release.reserve_days)
            or terms.deposit_minor < granted.deposit_minor
        )
        if life.started is not None and not takes_back:
            laxer += bucket > states.reach(*place) or tenure > place[1] + 1
        place = bucket, tenure
        share = chance.choice([0, 1, chance.random()])
        if chance.random() < 0.15:
            life.keep_none([int(life.room() * share)])
        else:
            life.sell(int(life.room() * share), to_itself=chance.random() < 0.5)
        if takes_back and chance.random() < 0.2:
            life.refund(chance.randrange(1, 2 + life.settled))
        life.sleep()
    return laxer
