"""A study's definition of bad: what counts, how much is enough, and the day on which it was reached.

Counted are incidents that a rule names, or settled orders that failed.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from scoring.base.arrays import NEVER, Bools, Ints, first_of_runs
from scoring.base.errors import ConfigurationWrong
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.facts import Facts
from scoring.features.violations import Violations
from training.observation.export import LedgerTable, read_integers
from training.observation.joining import find_places
from training.study.definition import FINEST_SHARE, BadRule, Study


@dataclass(frozen=True, slots=True)
class CountedEvents:
    case: Ints
    day: Ints
    number: Ints
    """1 for an incident; failed orders for a day's orders."""
    amount: Ints
    """Minor units of the study's currency."""

    def take(self, rows: Bools) -> "CountedEvents":
        return CountedEvents(self.case[rows], self.day[rows], self.number[rows], self.amount[rows])

    def count_by_case(self, cases: int) -> Ints:
        """Return the sum of `number` by case, shape (cases,)."""
        return np.bincount(self.case, weights=self.number, minlength=cases).astype(np.int64)


def match_rules(v: Violations, rules: tuple[BadRule, ...], table: LedgerTable) -> Bools:
    matching = np.zeros(len(v.case), dtype=bool)
    for rule in rules:
        match = (v.severity >= rule.severity) & (table.harm[v.row] >= rule.harm)
        if rule.violation_type is not None:
            match &= v.violation_type == TYPE_NUMBERS[rule.violation_type]
        if rule.category is not None:
            match &= v.category == rule.category
        matching |= match
    return matching


def amounts(v: Violations, study: Study, table: LedgerTable) -> Ints:
    """Return each violation's stated amount in minor units, 0 without; all 0 if the study asks for none.

    ConfigurationWrong for another currency: there is no exchange rate.
    """
    if study.bad.amount_minor is None or not len(v.row):
        return np.zeros(len(v.row), dtype=np.int64)
    found = read_integers(table.read_stated(v.row, "$.amount_minor"))
    other = table.read_stated(v.row, "$.currency").fill_null("").to_numpy() != study.bad.currency
    if (other & (found > 0)).any():
        raise ConfigurationWrong(
            f"bad.amount_minor of the study is in {study.bad.currency}, and {int((other & (found > 0)).sum())} violations"
            " that match state an amount in another currency: convert them in the mapping, or name others in bad.any"
        )
    return found


def count_incidents(v: Violations, day: Ints, amount: Ints) -> CountedEvents:
    """Return each incident with the first `day` and largest `amount` of its violations.

    Violations must be sorted by (case, incident).
    """
    starts = np.flatnonzero(first_of_runs(v.case, v.incident))
    return CountedEvents(
        case=v.case[starts],
        day=np.minimum.reduceat(day, starts),
        number=np.ones(len(starts), dtype=np.int64),
        amount=np.maximum.reduceat(amount, starts),
    )


def count_failures(sold: Facts, final: Facts) -> CountedEvents:
    """Return failed settled orders by case, day and product category: as many as `sold` states, at most as `final`
    states.
    """
    kinds = int(max(sold.exposure_product.max(initial=0), final.exposure_product.max(initial=0))) + 2
    first = int(min(sold.exposure_day.min(initial=0), final.exposure_day.min(initial=0)))
    span = int(max(sold.exposure_day.max(initial=0), final.exposure_day.max(initial=0))) - first + 1

    def key(facts: Facts) -> Ints:
        return (facts.exposure_case * span + facts.exposure_day - first) * kinds + facts.exposure_product + 1

    place = find_places(key(final), key(sold))
    stands = place >= 0
    number = np.zeros(len(place), dtype=np.int64)
    number[stands] = np.minimum(sold.exposure_failures[stands], final.exposure_failures[place[stands]])
    some = number > 0
    number = number[some]
    return CountedEvents(
        case=sold.exposure_case[some],
        day=sold.exposure_day[some],
        number=number,
        amount=np.zeros(len(number), dtype=np.int64),
    )


def market_cut(study: Study, count: Ints, orders: Ints) -> float:
    """Return the lowest rate (count over orders) among the worst `study.bad.worst` of a market.

    Infinity if the study lacks a share, or if no seller is among the worst. Only sellers with enough orders in the
    window are the market. A seller with a zero rate is never among the worst. Sellers with equal rates are included
    together if the worst stay within the share. Worked: rates 0, 0, 0.1, 0.1 and 0.5 with the worst 0.4
    give 0.5; with the worst 0.6 they give 0.1.
    """
    if study.bad.worst is None:
        return math.inf
    market = orders >= study.orders_needed
    rate, number = np.unique(count[market] / orders[market], return_counts=True)
    so_bad = number[::-1].cumsum()[::-1]
    share = _to_fraction(study.bad.worst)
    worst = rate[(so_bad * share.denominator <= share.numerator * int(market.sum())) & (rate > 0)]
    return float(worst.min()) if len(worst) else math.inf


def required_count(study: Study, orders: Ints, cut: float) -> Ints:
    """Return the count from which each seller is bad, by its orders in the window.

    It is the largest of `bad.at_least`, `bad.share` of the orders, and the count whose rate reaches `cut`, the rate
    from `market_cut`. It is NEVER if the study states `bad.worst` and `cut` is infinite. Worked: a share of 0.2 needs 3
    of 11 orders, and 2 of 5 if `bad.at_least` is 2.
    """
    found = np.full(len(orders), study.bad.at_least, dtype=np.int64)
    if study.bad.share is not None:
        share = _to_fraction(study.bad.share)
        found = np.maximum(found, -(-share.numerator * orders // share.denominator))
    if study.bad.worst is not None:
        found = np.maximum(found, _count_reaching(cut, orders)) if cut < math.inf else np.full(len(orders), NEVER)
    return found


def bad_days(counted: CountedEvents, enough: Ints, study: Study) -> Ints:
    """Return the day on which each case reached `enough`, from `required_count`, and any needed amount; else NEVER."""
    order = np.lexsort((counted.day, counted.case))
    case, day = counted.case[order], counted.day[order]
    starts = first_of_runs(case)
    is_bad = _add_up_runs(counted.number[order], starts) >= enough[case]
    if study.bad.amount_minor is not None:
        is_bad &= _add_up_runs(counted.amount[order], starts) >= study.bad.amount_minor
    found = np.full(len(enough), NEVER)
    np.minimum.at(found, case[is_bad], day[is_bad])
    return found


def _count_reaching(cut: float, orders: Ints) -> Ints:
    """Return the least count whose rate, as a float, is at least `cut`; 0 without orders."""
    some = np.maximum(orders, 1)
    found = np.ceil(cut * some).astype(np.int64)
    found -= (found - 1) / some >= cut
    found += found / some < cut
    return np.where(orders > 0, found, 0)


def _to_fraction(share: float) -> Fraction:
    return Fraction(str(share)).limit_denominator(FINEST_SHARE)


def _add_up_runs(values: Ints, new: Bools) -> Ints:
    total = np.cumsum(values)
    before = np.where(new, total - values, 0)
    starts = np.maximum.accumulate(np.where(new, np.arange(len(values)), 0))
    running: Ints = total - before[starts]
    return running
