"""Adaptive attackers in the simulated market, with its stand-in for a model, its delays, and the core's own caution.

Flow is recorded the next day, buyers dispute on the tenth day, and a person who checks may miss the truth.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from scoring.base.enums import Tier
from scoring.base.time import DAY
from scoring.caution.cautions import Caution
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.states import count_run_days
from scoring.policy.measures import PPM, Terms, combine
from scoring.policy.payout import Order, fix_terms
from scoring.policy.policy import Policy
from scoring.policy.rules import Situation
from tests.bench._year.regimes import draw_points
from tests.bench._year.trade import DISPUTE_DAYS
from tests.bench._year.year import DISPUTED_WITHIN, DISPUTES, LOOKED_INTO_DAYS, SEEN_SHARE
from tests.helpers.answers import find_cautions_of_seller
from tests.scoring.loss_certificate.lives import asked_for, cap_of, pay_out_day

FIRST_DAY = 20_000
FLOW_DAYS = 240
"""Days of recorded flow before a run: the 180 in which days of caution count, and the look-back of rules."""
DELIVERY_DAYS = 4
YEAR = 365
QUIET_DAYS, QUIET, JUMP_DAYS = 30, 0.04, 3
"""Days of a small share of the limit before a jump, and days of the jump."""


@dataclass(frozen=True)
class Plan:
    fakes: bool
    bought_minor: int
    """The settled value of the account it begins with; 0 for a new name."""
    target_minor: int
    pace: float
    order_minor: int
    run_order_minor: int
    waits: int
    zeal: float
    faked_days: int
    """Days after which it states unshipped orders as delivered."""
    jumps: int
    """Jumps of its sales before the run. It sits out each caution, so fewer days of caution are left."""


def draw_plan(policy: Policy, chance: random.Random, fakes: bool) -> Plan:
    steps = [0, *asked_for(policy)[0]]
    return Plan(
        fakes=fakes,
        bought_minor=chance.choice([0, 0, 0, chance.choice(steps)]),
        target_minor=max(chance.choice(steps) + chance.choice([0, 0, 1, -1, chance.randrange(10**6)]), 0),
        pace=chance.choice([1.0, 1.0, 0.5 + chance.random() / 2]),
        order_minor=chance.choice([500, 5_000, 50_000]),
        run_order_minor=chance.choice([5_000, 100_000, 10**6, 10**9]),
        waits=chance.choice([0, 0, 3, chance.randrange(120)]),
        zeal=chance.choice([1.0, 1.0, chance.random()]),
        faked_days=chance.choice([0, 1, 5, 30]),
        jumps=chance.choice([0, 0, 0, 1, 3]),
    )


def change_plan(plan: Plan, policy: Policy, chance: random.Random) -> Plan:
    other = draw_plan(policy, chance, plan.fakes)
    names = chance.sample([name for name in Plan.__dataclass_fields__ if name != "fakes"], chance.choice([1, 2]))
    return replace(plan, **{name: getattr(other, name) for name in names})


@cache
def _points(orders: int) -> int:
    return int(draw_points(np.zeros(1), np.array([float(orders)]))[0])


@dataclass
class Trader:
    policy: Policy
    assumptions: Assumptions
    plan: Plan
    chance: random.Random
    known: dict[Any, Terms]
    day: int = FIRST_DAY
    settled: int = 0
    cash: int = 0
    pipeline: list[tuple[int, int]] = field(default_factory=list)
    sold: list[tuple[int, int]] = field(default_factory=list)
    kept: dict[int, tuple[int, int]] = field(default_factory=dict)
    unkept: list[tuple[Order, Terms, int]] = field(default_factory=list)
    """(order, its terms at capture, number of orders that it represents) of the run, by day."""

    def __post_init__(self) -> None:
        self.steps, self.tenures = asked_for(self.policy)
        self.recent = self.settled_orders = self.first_sold = 0
        self.joined = self.day

    def terms(self) -> Terms:
        while self.first_sold < len(self.sold) and self.sold[self.first_sold][0] <= self.day - YEAR:
            self.recent -= self.sold[self.first_sold][1]
            self.first_sold += 1
        tenure = self.day - self.joined
        is_thin = self.recent < self.policy.thin_file_orders or tenure < self.policy.thin_file_days
        tier = Tier.UNRATED if is_thin else self.policy.tier_with_standing(_points(self.recent), 0)
        key = tier, bisect_right(self.steps, self.settled), bisect_right(self.tenures, tenure)
        if key not in self.known:
            seller = Situation(
                tier, settled_minor={"": self.settled}, tenure_days=tenure, day=self.day, deposit_minor=10**18
            )
            self.known[key] = self.policy.rule_book.terms(seller)
        return self.known[key]

    def sell(self, value: int) -> None:
        assert self.policy.trade is not None
        orders = max(value // self.plan.order_minor, 1)
        self.pipeline.append((self.day + self.policy.trade.claim_days, value))
        self.sold.append((self.day, orders))
        self.recent += orders
        self.kept[self.day] = orders, value
        self.cash -= -(-value * self.assumptions.wash_ppm // PPM) if self.plan.fakes else 0

    def sleep(self) -> None:
        self.day += 1
        while self.pipeline and self.pipeline[0][0] <= self.day:
            self.settled += self.pipeline.pop(0)[1]

    def flow(self) -> list[FlowDay]:
        """Return the recorded flow of the last days, each stated in the first hour of the next, with delivery as
        claimed.
        """
        runs = {order.capture_day: (number, order.captured_minor) for order, _, number in self.unkept}
        found = []
        for day in range(self.day - FLOW_DAYS, self.day):
            orders, value = self.kept.get(day, (0, 0))
            more, more_value = runs.get(day, (0, 0))
            delivered = self.kept.get(day - DELIVERY_DAYS, (0, 0))[0] + runs.get(day - self.plan.faked_days, (0, 0))[0]
            disputed = runs.get(day - DISPUTE_DAYS, (0, 0))[0]
            if orders or more or delivered or disputed:
                fact = FlowStated(
                    day, currency=self.policy.rule_book.currency, captured_orders=orders + more,
                    captured_minor=value + more_value, delivered_orders=delivered, disputed_orders=disputed,
                )  # fmt: skip
                found.append(FlowDay(f"f{day}", 0, fact, (day + 1) * DAY + DAY // 24, f"f{day}"))
        return found

    def cautions(self) -> tuple[Caution, ...]:
        if self.policy.caution is None:
            return ()
        return find_cautions_of_seller((), self.day * DAY + DAY // 12, self.policy.caution, self.flow())


def play(
    plan: Plan, policy: Policy, assumptions: Assumptions, chance: random.Random, known: dict[Any, Terms]
) -> tuple[int, int]:
    life = Trader(policy, assumptions, plan, chance, known)
    life.settled, cost = plan.bought_minor, assumptions.identity_minor
    if plan.bought_minor:
        cost = assumptions.aged_account_minor + plan.bought_minor * assumptions.aged_account_ppm // PPM
    life.cash -= cost
    while life.settled < plan.target_minor:
        ahead = sum(value for _, value in life.pipeline)
        if life.settled + ahead < plan.target_minor:
            life.sell(max(int(cap_of(life.terms()) * plan.pace), 1))
        life.sleep()
    for _ in range(plan.jumps):
        _sell_for(life, QUIET_DAYS, QUIET)
        _sell_for(life, JUMP_DAYS, 1.0)
    if plan.jumps:
        _sell_for(life, QUIET_DAYS, QUIET)
    _sell_for(life, plan.waits, 0.0)
    return _run(life)


def _sell_for(life: Trader, days: int, share: float) -> None:
    for _ in range(days):
        if share:
            life.sell(max(int(cap_of(life.terms()) * share), 1))
        life.sleep()


def _run(life: Trader) -> tuple[int, int]:
    policy, plan = life.policy, life.plan
    assert policy.trade is not None
    begun, currency = life.day, policy.rule_book.currency
    stop = begun + count_run_days(policy.trade, life.assumptions)
    deposit = life.terms().deposit_minor
    paid: dict[int, int] = {}
    cases: set[str] = set()
    disputed: list[int] = []
    while life.day < stop:
        cautions = life.cautions()
        for one in cautions:
            if one.case not in cases and one.start > begun * DAY and life.chance.random() < SEEN_SHARE:
                assert policy.caution is not None
                stop = min(stop, life.day + policy.caution.decide_days)
            cases.add(one.case)
        due = sum(number for order, _, number in life.unkept if order.capture_day == life.day - DISPUTE_DAYS)
        disputed = [*disputed, due][-DISPUTED_WITHIN:]
        if sum(disputed) >= DISPUTES:
            stop = min(stop, life.day + LOOKED_INTO_DAYS)
        if life.day >= stop:
            break
        asked = combine(measure for one in cautions for measure in one.measures)
        now = life.terms()
        value = int(min(cap_of(now), cap_of(asked)) * plan.zeal)
        if value and now.deposit_minor <= deposit:
            number = max(value // plan.run_order_minor, 1)
            life.unkept.append((Order(value, life.day, currency), now, number))
        claimed = [(order, fix_terms(terms, asked)) for order, terms, _ in life.unkept]
        claimed = [one for one in claimed if life.day - one[0].capture_day >= plan.faked_days]
        pay_out_day(claimed, paid, life.day, life.settled, currency)
        life.sleep()
    is_lost = policy.trade.deposit_is_refilled and policy.trade.deposit_returned_after_days >= life.day - begun
    lost = min(deposit, sum(order.captured_minor for order, *_ in life.unkept)) if is_lost else 0
    return life.cash + sum(paid.values()) - lost, life.day - begun


def let_loose_in_market(
    policy: Policy, assumptions: Assumptions, fakes: bool, generations: int, each: int, seed: int
) -> Iterator[tuple[Plan, int, int]]:
    """Play generations of attackers and vary the best; yield (plan, result, days of its run)."""
    chance, known = random.Random(seed), {}
    best: list[tuple[int, Plan]] = []
    for generation in range(generations):
        for number in range(each):
            plan = draw_plan(policy, chance, fakes)
            if generation and number % 4:
                plan = change_plan(chance.choice(best)[1], policy, chance)
            total, days = play(plan, policy, assumptions, chance, known)
            best = sorted([*best, (total, plan)], key=lambda one: -one[0])[:8]
            yield plan, total, days
