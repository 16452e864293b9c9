"""A study's definition of bad: what counts, how much is enough, and the day on which it was reached.

Counted are incidents that a rule names, or settled orders that failed.
"""

import math
from fractions import Fraction

import numpy as np

from scoring.base.arrays import NEVER, Bools, Ints, first_of_runs
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.facts import Facts
from scoring.features.violations import Violations
from training.observation.export import LedgerTable, read_integers
from training.observation.joining import find_places
from training.study.definition import FINEST_SHARE, BadRule, Study


@frozen
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
        return np.bincount(self.case, weights=self.number, minlength=cases).astype(np.int64)


def match_rules(violations: Violations, rules: tuple[BadRule, ...], table: LedgerTable) -> Bools:
    matching = np.zeros(len(violations.case), dtype=bool)
    for rule in rules:
        match = (violations.severity >= rule.severity) & (table.harm[violations.row] >= rule.harm)
        if rule.violation_type is not None:
            match &= violations.violation_type == TYPE_NUMBERS[rule.violation_type]
        if rule.category is not None:
            match &= violations.category == rule.category
        matching |= match
    return matching


def amounts(violations: Violations, study: Study, table: LedgerTable) -> Ints:
    """Return each violation's stated amount in minor units, 0 without; all 0 if the study asks for none.

    ConfigurationWrong for another currency: there is no exchange rate.
    """
    if study.bad.amount_minor is None or not len(violations.row):
        return np.zeros(len(violations.row), dtype=np.int64)
    amount = read_integers(table.read_stated(violations.row, "$.amount_minor"))
    is_other_currency = table.read_stated(violations.row, "$.currency").fill_null("").to_numpy() != study.bad.currency
    unusable = int((is_other_currency & (amount > 0)).sum())
    if unusable:
        raise ConfigurationWrong(
            f"bad.amount_minor of the study is in {study.bad.currency}, and {unusable} violations"
            " that match state an amount in another currency: convert them in the mapping, or name others in bad.any"
        )
    return amount


def count_incidents(violations: Violations, day: Ints, amount: Ints) -> CountedEvents:
    """Return each incident with the first `day` and largest `amount` of its violations.

    Violations must be sorted by (case, incident).
    """
    starts = np.flatnonzero(first_of_runs(violations.case, violations.incident))
    return CountedEvents(
        case=violations.case[starts],
        day=np.minimum.reduceat(day, starts),
        number=np.ones(len(starts), dtype=np.int64),
        amount=np.maximum.reduceat(amount, starts),
    )


def count_failures(sold: Facts, final: Facts) -> CountedEvents:
    """Return failed settled orders by case, day and product category: as many as `sold` states, at most as `final`
    states.
    """
    product_span = int(max(sold.exposure_product.max(initial=0), final.exposure_product.max(initial=0))) + 2
    first = int(min(sold.exposure_day.min(initial=0), final.exposure_day.min(initial=0)))
    day_span = int(max(sold.exposure_day.max(initial=0), final.exposure_day.max(initial=0))) - first + 1

    def make_key(facts: Facts) -> Ints:
        return (facts.exposure_case * day_span + facts.exposure_day - first) * product_span + facts.exposure_product + 1

    place_in_final = find_places(make_key(final), make_key(sold))
    is_final = place_in_final >= 0
    number = np.zeros(len(place_in_final), dtype=np.int64)
    number[is_final] = np.minimum(sold.exposure_failures[is_final], final.exposure_failures[place_in_final[is_final]])
    has_failed = number > 0
    number = number[has_failed]
    return CountedEvents(
        case=sold.exposure_case[has_failed],
        day=sold.exposure_day[has_failed],
        number=number,
        amount=np.zeros(len(number), dtype=np.int64),
    )


def market_cut(study: Study, count: Ints, orders: Ints) -> float:
    """Return the lowest rate (count over orders) among the worst `study.bad.worst` of a market; infinite without one.

    Only sellers with enough orders in the window are the market; a zero rate is never among the worst. Sellers with
    equal rates are included together, within the share. Worked: rates 0, 0, 0.1, 0.1 and 0.5 with the worst 0.4 give
    0.5; with the worst 0.6 they give 0.1.
    """
    if study.bad.worst is None:
        return math.inf
    market = orders >= study.orders_needed
    rates, sellers_of_rate = np.unique(count[market] / orders[market], return_counts=True)
    sellers_at_least_so_bad = sellers_of_rate[::-1].cumsum()[::-1]
    worst_share = _to_fraction(study.bad.worst)
    worst = rates[
        (sellers_at_least_so_bad * worst_share.denominator <= worst_share.numerator * int(market.sum())) & (rates > 0)
    ]
    return float(worst.min()) if len(worst) else math.inf


def required_count(study: Study, orders: Ints, cut: float) -> Ints:
    """Return the count from which each seller is bad, by its orders in the window.

    It is the largest of `bad.at_least`, `bad.share` of the orders, and the count whose rate reaches `cut`; NEVER if
    that is infinite. Worked: a share of 0.2 needs 3 of 11 orders, and 2 of 5 if `bad.at_least` is 2.
    """
    needed = np.full(len(orders), study.bad.at_least, dtype=np.int64)
    if study.bad.share is not None:
        share = _to_fraction(study.bad.share)
        needed = np.maximum(needed, -(-share.numerator * orders // share.denominator))
    if study.bad.worst is not None:
        needed = np.maximum(needed, _count_reaching(cut, orders)) if cut < math.inf else np.full(len(orders), NEVER)
    return needed


def bad_days(counted: CountedEvents, enough: Ints, study: Study) -> Ints:
    """Return the day on which each case reached `enough`, and any needed amount; else NEVER."""
    order = np.lexsort((counted.day, counted.case))
    case, day = counted.case[order], counted.day[order]
    starts = first_of_runs(case)
    is_bad = _add_up_runs(counted.number[order], starts) >= enough[case]
    if study.bad.amount_minor is not None:
        is_bad &= _add_up_runs(counted.amount[order], starts) >= study.bad.amount_minor
    bad_day = np.full(len(enough), NEVER)
    np.minimum.at(bad_day, case[is_bad], day[is_bad])
    return bad_day


def _count_reaching(cut: float, orders: Ints) -> Ints:
    """Return the least count whose rate, as a float, is at least `cut`; 0 without orders."""
    at_least_one = np.maximum(orders, 1)
    count = np.ceil(cut * at_least_one).astype(np.int64)
    count -= (count - 1) / at_least_one >= cut
    count += count / at_least_one < cut
    return np.where(orders > 0, count, 0)


def _to_fraction(share: float) -> Fraction:
    return Fraction(str(share)).limit_denominator(FINEST_SHARE)


def _add_up_runs(values: Ints, is_first: Bools) -> Ints:
    """Return running sums that begin anew where `is_first` is true."""
    total = np.cumsum(values)
    total_before = np.where(is_first, total - values, 0)
    starts = np.maximum.accumulate(np.where(is_first, np.arange(len(values)), 0))
    running: Ints = total - total_before[starts]
    return running
