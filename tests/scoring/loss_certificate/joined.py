"""Lives across several policies: random and worst-case histories, each compared with the sum of its sequence."""

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from scoring.base.enums import Tier
from scoring.base.errors import CertificateRefused, PolicyRefused
from scoring.loss_certificate.assumptions import Assumptions, parse_assumptions
from scoring.loss_certificate.certificate import certify
from scoring.loss_certificate.states import count_run_days
from scoring.policy.measures import MAX_HOLD_DAYS, PPM, Terms
from scoring.policy.payout import Order, Stopped, fix_terms, pay_out
from scoring.policy.policy import Policy
from scoring.policy.sample import Breach
from scoring.policy.seasons import find_season
from tests.helpers.policies import rule
from tests.scoring.loss_certificate.attackers import BREACHES, TIERS
from tests.scoring.loss_certificate.lives import Life, asked_for, cap_of, terms_of
from tests.scoring.loss_certificate.toys import make_world, policy_of

MARKETS = ("", "acme", "other")


@dataclass(frozen=True)
class Served:
    data: tuple[dict[str, Any], ...]
    policies: tuple[Policy, ...]
    assumptions: Assumptions
    stated: dict[str, Any]
    certificate: dict[str, Any]
    known: dict[Any, Terms] = field(default_factory=dict)

    def bound(self, *, is_real: bool) -> int:
        most: int = self.certificate["sequence"]["most_minor"]["unconditional" if is_real else "against_faked_history"]
        return most


def draw_sequences(chance: random.Random) -> Iterator[Served]:
    while True:
        worlds = [make_world(chance.randint) for _ in range(chance.choice([2, 2, 3]))]
        stated = worlds[0][1]
        if chance.random() < 0.4:
            stated = stated | {"carrier": {"days": chance.randint(1, 6), "source": "contract"}}
        data = tuple(_dress(one, chance, number) for number, (one, _) in enumerate(worlds))
        try:
            policies = tuple(policy_of(one) for one in data)
            assumptions = parse_assumptions(stated)
            found = certify(policies[-1], assumptions, older=policies[:-1])
        except (PolicyRefused, CertificateRefused):
            continue
        yield Served(data, policies, assumptions, stated, found)


def _dress(data: dict[str, Any], chance: random.Random, number: int) -> dict[str, Any]:
    rules = list(data["rules"])
    if chance.random() < 0.4:
        closed = {"kind": "suspension", "terminates": True, "notice_days": 30}
        week = {"kind": "suspension", "days": 30}
        rules.append(rule("closed", closed, week, {"kind": "settlement_hold", "days": 180}, standing={"from": 40}))
    if chance.random() < 0.3:
        group = {"product_category": "toys", "from": "2026-11-02", "until": "2026-11-20", "legal_ground": "a recall"}
        capped = {"kind": "intake_cap", "new_listings": 0, "product_category": "toys"}
        rules.append(rule("group", capped, group=group))
    if chance.random() < 0.6:
        cap = {"kind": "listing_cap", "listings": chance.choice([5, 50, 500])}
        of_tiers = {"tiers": ["unrated", "probation", "standard"][: chance.randint(1, 3)]}
        rules.append(rule("listed", cap, *([{"kind": "manual_review"}] * chance.randint(0, 1)), **of_tiers))
    limits = {"hold_limits": {name: chance.randint(1, 8) for name in MARKETS[1:] if chance.random() < 0.7}}
    notice = {"notice_days": chance.choice([1, 3, 9])} if chance.random() < 0.6 else {}
    return {**data, "version": number + 1, "rules": rules} | notice | (limits if chance.random() < 0.5 else {})


@dataclass
class JoinedLife(Life):
    """A name that keeps trading while policies are committed. Its orders keep the terms of their capture."""

    marketplace: str = ""
    stop_day: int = 0
    orders: list[tuple[Order, Terms, int]] = field(default_factory=list)
    """Unkept orders of earlier days, their terms, and the most days of a hold."""
    today: list[Policy] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.today = [self.policy]
        super().__post_init__()

    @property
    def terms(self) -> Terms:
        return self.terms_by(self.policy)

    def terms_by(self, policy: Policy) -> Terms:
        seasons = policy.rule_book.seasons
        season = find_season(seasons, self.origin + self.day)
        found = tuple(replace(breach, age_days=self.day - day) for breach, day in self.breaches.values())
        place = bisect_right(self.steps, self.settled), bisect_right(self.tenures, self.day)
        key = policy.digest, self.tier, *place, season, found, self.marketplace
        if key not in self.known:
            date = self.origin + self.day
            self.known[key] = terms_of(policy, self.tier, self.settled, self.day, self.marketplace, date, found)
        return self.known[key]

    @property
    def is_stopped(self) -> bool:
        return self.started is not None and self.day >= self.stop_day

    def commit(self, policy: Policy) -> None:
        self.policy = policy
        self.today.append(policy)

    def top_up(self) -> None:
        missing = max(self.terms.deposit_minor - self.deposit, 0)
        self.cash, self.deposit = self.cash - missing, self.deposit + missing

    def run(self, value: int) -> None:
        was_running, before = self.started is not None, self.captured_today
        assert self.policy.trade is not None
        self.keep_none([value])
        if self.captured_today == before:
            return
        if not was_running:
            self.stop_day = self.day + count_run_days(self.policy.trade, self.assumptions)

    def sleep(self) -> None:
        """Go on to the next day. The day's orders get the hold and reserve of the day's strictest policy."""
        terms = reduce(fix_terms, (self.terms_by(policy) for policy in reversed(self.today)))
        limit = max(policy.rule_book.hold_limits.get(self.marketplace, MAX_HOLD_DAYS) for policy in self.today)
        self.orders += [(order, terms, limit) for order, _ in self.unkept]
        self.unkept, self.today = [], [self.policy]
        super().sleep()

    def paid_out(self) -> int:
        paid: dict[int, int] = {}
        first = min((order.capture_day for order, *_ in self.orders), default=self.stop_day)
        for day in (*range(first, self.stop_day), self.stop_day + 20):
            for place, (order, terms, limit) in enumerate(self.orders):
                if order.capture_day > day:
                    continue
                is_there = day - order.capture_day >= self.assumptions.carrier_days
                stops = [Stopped(self.stop_day)]
                others = sum(
                    paid.get(other, 0)
                    for other, (one, its, most) in enumerate(self.orders)
                    if other != place and day - one.capture_day < min(its.ahead_days, most)
                )
                most_ahead = terms.find_ahead_limit(self.settled_on.get(day, self.settled))
                seen = replace(order, is_delivered=is_there, others_paid_minor=others)
                found = pay_out(seen, terms, day, order.currency, limit, stops, most_ahead)
                paid[place] = max(paid.get(place, 0), found.released_minor)
        return sum(paid.values())


def live(sequence: Served, chance: random.Random) -> tuple[JoinedLife, bool]:
    """Live one life: a faked or real history, and a run across the commits.

    Return the life, and whether its history is real.
    """
    is_real, is_greedy = chance.random() < 0.5, chance.random() < 0.6
    policies, assumptions = list(sequence.policies), sequence.assumptions
    life = JoinedLife(policies[0], assumptions, marketplace=chance.choice(MARKETS), known=sequence.known)
    steps, tenures = (sorted({0}.union(*axis)) for axis in zip(*map(asked_for, policies), strict=True))
    life.steps, life.tenures = steps, tenures
    life.settled = max(chance.choice([0, *steps]) + chance.choice([0, 0, -1, 1, -chance.randrange(400)]), 0)
    life.day = max(chance.choice([0, *tenures]) + chance.choice([0, 0, -1, -3, 9]), 0)
    life.cash -= 0 if is_real else -(-life.settled * assumptions.wash_ppm // PPM)
    dates = [one.first_day for policy in policies for one in policy.rule_book.seasons]
    life.origin = chance.choice([*dates, 20_000, 20_760]) - life.day + chance.randint(-4, 2)
    life.tier = chance.choice(TIERS)
    life.refill()
    days = 16
    commits = sorted(chance.randrange(days) for _ in policies[1:])
    for day in range(days):
        life.tier = chance.choice(TIERS) if chance.random() < 0.2 else life.tier
        moments = [policy for at, policy in zip(commits, policies[1:], strict=True) if at == day]
        for policy in [None, *moments]:
            if policy is not None:
                life.commit(policy)
            if is_greedy:
                life.tier = max(TIERS, key=lambda tier: _worth(life, tier))
            life.top_up()
            if is_greedy and day < 1 and chance.random() < 0.3:
                continue
            _act(life, chance, is_real=is_real, is_greedy=is_greedy, number=day)
        life.sleep()
        if life.is_stopped:
            break
    return life, is_real


def _worth(life: JoinedLife, tier: Tier | None) -> int:
    """Return the best value of a day's orders over the model's tiers: a cheat's best guess."""
    life.tier = tier
    terms = life.terms
    return cap_of(terms) // (1 + terms.hold_days) - terms.deposit_minor


def _act(life: JoinedLife, chance: random.Random, *, is_real: bool, is_greedy: bool, number: int) -> None:
    room = life.room()
    if is_greedy:
        life.run(room)
        return
    match chance.choice(["run", "run", "sell", "breach", "overturn", "refund", "rest"]):
        case "run":
            life.run(int(room * chance.choice([1, 1, chance.random()])))
        case "sell":
            life.sell(int(room * chance.random()), to_itself=not is_real)
        case "breach":
            life.breach(f"v{number}", Breach(*chance.choice(BREACHES), incident=chance.randrange(3)))
        case "overturn" if life.breaches:
            life.overturn(chance.choice([*life.breaches]))
        case "refund":
            life.refund(chance.randrange(1, 2 + life.settled))


def play(sequences: int, each: int, seed: int) -> tuple[int, Sequence[str], float]:
    """Return the number of lives, the results beyond the bound, and the share of sequences with a best life near it.

    Near is nine tenths of the bound.
    """
    chance, above, near, bounded = random.Random(seed), [], 0, 0
    drawn = draw_sequences(chance)
    for number in range(sequences):
        sequence, best = next(drawn), 0
        for place in range(each):
            life, is_real = live(sequence, chance)
            total, bound = life.end(), sequence.bound(is_real=is_real or bool(life.real))
            best = max(best, total)
            if total > bound:
                above.append(f"sequence {number}, life {place}: {total} of {bound}")
        most = sequence.bound(is_real=True)
        bounded, near = bounded + (most > 0), near + (0 < 0.9 * most <= best)
    return sequences * each, above, near / max(bounded, 1)
