"""One name's life on a marketplace, day by day: the game that a certificate bounds, with the real terms and payouts."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from scoring.base.enums import Tier
from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.states import count_run_days
from scoring.policy.measures import PPM, Terms
from scoring.policy.payout import Order, PayoutLimits, pay_out
from scoring.policy.policy import Policy
from scoring.policy.rules import Quantity, SettledValue
from scoring.policy.sample import Breach, SampleSeller
from scoring.policy.seasons import find_season

NO_CAP = 10**18


def terms_of(
    policy: Policy,
    tier: Tier | None,
    settled: int,
    tenure: int,
    marketplace: str = "",
    day: int = 0,
    breaches: tuple[Breach, ...] = (),
) -> Terms:
    categories = {"", *(one.product_category for one in policy.rule_book.operands if isinstance(one, SettledValue))}
    values = dict.fromkeys(categories, settled)
    sample = SampleSeller(None, breaches, values, day, marketplace, tier, tenure, deposit_minor=NO_CAP)
    return policy.rule_book.terms(replace(sample.situation(policy), tier=tier))


def cap_of(terms: Terms) -> int:
    return dict(terms.value_caps).get("", NO_CAP)


def asked_for(policy: Policy) -> tuple[list[int], list[int]]:
    edges = [(asked, value) for asked, value in policy.rule_book.list_edges() if value]
    values = {value for asked, value in edges if isinstance(asked, SettledValue)}
    return sorted(values), sorted({value for asked, value in edges if asked is Quantity.TENURE})


@dataclass
class Life:
    """A name from its first day on. Money in minor units; washed money comes back, its cost does not."""

    policy: Policy
    assumptions: Assumptions
    tier: Tier | None = None
    """The model's tier, or none; may change on any day."""
    day: int = 0
    settled: int = 0
    deposit: int = 0
    covered_on: int = -1
    cash: int = 0
    real: int = 0
    pipeline: list[tuple[int, int]] = field(default_factory=list)
    """(day of settlement, value) of sales, in earnest or to itself."""
    unkept: list[tuple[Order, Terms]] = field(default_factory=list)
    captured_today: int = 0
    breaches: dict[str, tuple[Breach, int]] = field(default_factory=dict)
    origin: int = 0
    """The date of its first day, in days since 1970-01-01, for seasons."""
    settled_on: dict[int, int] = field(default_factory=dict)
    """The settled value by day."""
    started: int | None = None
    state_at_start: tuple[int, int] = (0, 0)

    places_at_once: bool = True
    known: dict[tuple[Any, ...], Terms] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.steps, self.tenures = asked_for(self.policy)
        self.cash -= self.assumptions.identity_minor
        if self.places_at_once:
            self.refill()

    @property
    def terms(self) -> Terms:
        season = find_season(self.policy.rule_book.seasons, self.origin + self.day)
        found = tuple(replace(breach, age_days=self.day - day) for breach, day in self.breaches.values())
        key = self.tier, bisect_right(self.steps, self.settled), bisect_right(self.tenures, self.day), season, found
        if key not in self.known:
            date = self.origin + self.day
            self.known[key] = terms_of(self.policy, self.tier, self.settled, self.day, day=date, breaches=found)
        return self.known[key]

    @property
    def is_stopped(self) -> bool:
        return self.started is not None and self.day >= self.started + self.run_days

    @property
    def run_days(self) -> int:
        assert self.policy.trade is not None
        return count_run_days(self.policy.trade, self.assumptions)

    @property
    def owed(self) -> int:
        before = self.settled_on.get(self.day - 1 - self.policy.rule_book.share_days, 0)
        return self.terms.find_deposit(max(self.settled - before, 0))

    @property
    def awaits_deposit(self) -> bool:
        assert self.policy.trade is not None
        return self.deposit < self.owed and self.day > self.covered_on + self.policy.trade.deposit_refill_days

    def refill(self) -> None:
        asked = self.owed
        self.cash, self.deposit = self.cash + self.deposit - asked, asked

    def room(self) -> int:
        """Return the value that may still be captured today; 0 while the deposit is too small."""
        if self.is_stopped or self.awaits_deposit:
            return 0
        return max(cap_of(self.terms) - self.captured_today, 0)

    def sell(self, value: int, *, to_itself: bool) -> None:
        assert self.policy.trade is not None
        value = min(value, self.room())
        self.captured_today += value
        self.pipeline.append((self.day + self.policy.trade.claim_days, value))
        if to_itself:
            self.cash -= -(-value * self.assumptions.wash_ppm // PPM)
        else:
            self.real += value

    def keep_none(self, values: Sequence[int]) -> None:
        """Take orders of these values, or the smallest possible ones, and keep none.

        A day's limit below the smallest order allows one order.
        """
        assert self.policy.trade is not None
        smallest = self.policy.trade.smallest_order_minor
        for wanted in values:
            room = self.room()
            value = min(max(wanted, smallest), room)
            if not wanted or not value or (room < smallest and self.captured_today):
                continue
            if self.started is None:
                self.started, self.state_at_start = self.day, (self.settled, self.day)
            self.captured_today += value
            self.unkept.append((Order(value, self.day, self.policy.rule_book.currency), self.terms))

    def breach(self, name: str, breach: Breach) -> None:
        self.breaches[name] = breach, self.day

    def overturn(self, name: str) -> None:
        self.breaches.pop(name, None)

    def refund(self, value: int) -> None:
        """Refund settled orders: the settled value falls, and a cheat's own money goes round."""
        self.settled = max(self.settled - value, 0)

    def sleep(self) -> None:
        self.settled_on[self.day] = self.settled
        if self.deposit >= self.owed:
            self.covered_on = self.day
        self.day += 1
        self.captured_today = 0
        self.settled += sum(value for settles, value in self.pipeline if settles <= self.day)
        self.pipeline = [one for one in self.pipeline if one[0] > self.day]

    def end(self) -> int:
        """Return the cash after the stop: payouts until the day before, less the deposit, which an honest name gets
        back.
        """
        if self.started is None:
            return self.cash + self.deposit
        return self.cash + self.paid_out()

    def paid_out(self) -> int:
        assert self.started is not None
        paid: dict[int, int] = {}
        for day in range(self.started, self.started + self.run_days):
            pay_out_day(self.unkept, paid, day, self.settled_on.get(day, self.settled), self.policy.rule_book.currency)
        return sum(paid.values())


def pay_out_day(
    orders: Sequence[tuple[Order, Terms]], paid: dict[int, int], day: int, settled: int, currency: str
) -> None:
    """Pay out orders on a day, each within the limit on young orders; `paid`: so far, by the order's place."""
    for place, (order, terms) in enumerate(orders):
        if order.capture_day > day:
            continue
        others = sum(
            paid.get(other, 0)
            for other, (one, its) in enumerate(orders)
            if other != place and day - one.capture_day < its.ahead_days
        )
        limit = terms.find_ahead_limit(settled)
        found = pay_out(
            replace(order, others_paid_minor=others), terms, day, currency, limits=PayoutLimits(ahead_minor=limit)
        )
        paid[place] = max(paid.get(place, 0), found.released_minor)


def replay(policy: Policy, assumptions: Assumptions, attack: dict[str, Any]) -> int:
    """Play a printed attack by the real terms and payouts; return the resulting sum.

    The tier, or none, and the season are those whose terms give it the most.
    """
    dates = [day for one in policy.rule_book.seasons for day in (one.first_day, one.last_day + 1)] or [0]
    days, released = attack["days"], 0
    for number, step in enumerate(days):
        found = []
        for tier, date in product((None, *Tier), dates):
            terms = terms_of(policy, tier, step["settled_minor"], step["tenure_days"], day=date)
            order = Order(cap_of(terms), number, policy.rule_book.currency)
            limit = terms.find_ahead_limit(0)  # what is paid within it is `ahead_minor`
            found.append(
                pay_out(
                    order, terms, len(days) - 1, order.currency, limits=PayoutLimits(ahead_minor=limit)
                ).released_minor
            )
        released += max(found)
    released += attack["ahead_minor"]
    first = days[0]
    options = [terms_of(policy, tier, first["settled_minor"], first["tenure_days"]) for tier in (None, *Tier)]
    assert policy.trade is not None
    is_lost = policy.trade.deposit_is_refilled and not policy.trade.deposit_refill_days
    is_lost &= policy.trade.deposit_returned_after_days >= len(days)
    deposit = min(terms.deposit_minor for terms in options) if is_lost else 0
    faked = first["settled_minor"] - attack["entered_with_minor"] if attack["history_cash_minor"] else 0
    during = sum(day["washed_minor"] for day in days) if attack["run_cash_minor"] != released else 0
    costs = -(-(faked + during) * assumptions.wash_ppm // PPM)
    return int(attack["entry_cash_minor"] + released - costs - deposit)
