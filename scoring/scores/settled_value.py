from collections.abc import Iterable, Mapping

import numpy as np

from scoring.base.arrays import Ints, add_up_amounts
from scoring.entries.kinds.trade import SERVICE_FAILURES
from scoring.features.columns import FactTable
from scoring.features.facts import Facts
from scoring.policy.measures import PPM, take_share
from scoring.policy.policy import Policy
from scoring.policy.rules import FailureRate, Measured, MissingDays, Operand, RuleBook, SettledValue


def list_exposure_values(policies: Iterable[Policy]) -> set[str]:
    """Return which values to read of exposure for the policies' rules: currencies, and names of single failures."""
    values: set[str] = set()
    for policy in policies:
        for operand in policy.rule_book.operands:
            if isinstance(operand, SettledValue):
                values.add(policy.rule_book.currency)
            elif isinstance(operand, FailureRate) and operand.of != SERVICE_FAILURES:  # all together are in each row
                values.update(operand.of)
    return values


def add_up_settled(facts: Facts, table: FactTable, currency: str) -> Mapping[str, Ints]:
    """Return each seller's settled value by product category, and of all under the empty text.

    Counted as orders are. Empty if the table lacks values in the currency.
    """
    if currency not in table.values:
        return {}
    value, case = table.values[currency][facts.exposure_row], facts.exposure_case
    settled = {"": add_up_amounts(value, case, facts.cases)}
    for code, name in enumerate(table.products):
        of_category = np.flatnonzero(facts.exposure_product == code)
        if name:
            settled[name] = add_up_amounts(value[of_category], case[of_category], facts.cases)
    return settled


def add_up_recent_settled(facts: Facts, table: FactTable, book: RuleBook, days_ago: int = 0) -> Ints:
    """Return the value settled in `share_days` before a day, of which a deposit may be a share; shape (cases,)."""
    if book.currency not in table.values:
        return np.zeros(facts.cases, dtype=np.int64)
    age = facts.observe_day[facts.exposure_case] - facts.exposure_day - days_ago
    recent = np.flatnonzero((age >= 1) & (age <= book.share_days))
    value = table.values[book.currency][facts.exposure_row[recent]]
    return add_up_amounts(value, facts.exposure_case[recent], facts.cases)


def find_rates_and_missing_days(facts: Facts, table: FactTable, book: RuleBook, deposits: Ints) -> dict[Measured, Ints]:
    return find_failure_rates(facts, table, book.operands) | count_missing_days(facts, table, book, deposits)


def count_missing_days(facts: Facts, table: FactTable, book: RuleBook, deposits: Ints) -> dict[Measured, Ints]:
    """Return for how many days in a row each seller held less than each awaited deposit, of shape (cases,).

    `deposits`: held now, and at the end of each earlier day, of shape (days, cases).
    """
    operands = [operand for operand in book.operands if isinstance(operand, MissingDays)]
    days: dict[Measured, Ints] = {operand: np.zeros(facts.cases, dtype=np.int64) for operand in operands}
    for days_ago, held in enumerate(deposits if operands else ()):
        recent = add_up_recent_settled(facts, table, book, days_ago)
        for operand in operands:
            owed = np.maximum(operand.deposit.amount_minor, take_share(recent, operand.deposit.ppm))
            days[operand] += (
                (days[operand] == days_ago) & (held < owed) & (days_ago <= facts.observe_day - facts.first_fact_day)
            )
    return days


def find_failure_rates(facts: Facts, table: FactTable, operands: Iterable[Operand]) -> dict[Measured, Ints]:
    """Return each seller's failures over orders settled in `rate.days` days, by rate: parts per million, shape (cases,).

    3 failures of 70 orders are 42,857 ppm; with fewer orders than the rate asks for, 0.
    """
    ppm_of_rates: dict[Measured, Ints] = {}
    age = facts.observe_day[facts.exposure_case] - facts.exposure_day
    for rate in operands:
        if isinstance(rate, FailureRate):
            recent = np.flatnonzero(age <= rate.days)
            case = facts.exposure_case[recent]
            orders = add_up_amounts(facts.exposure_orders[recent], case, facts.cases)
            failures = add_up_amounts(_count_failures(facts, table, rate)[recent], case, facts.cases)
            ppm_of_rates[rate] = np.where(orders >= rate.orders, failures * PPM // np.maximum(orders, 1), 0)
    return ppm_of_rates


def count_good_orders(facts: Facts) -> Ints:
    """Return each seller's settled orders without a service failure on days after its last confirmed violation."""
    last = np.full(facts.cases, -1, dtype=np.int64)
    np.maximum.at(last, facts.violations.case, facts.violations.day)
    since = np.flatnonzero(facts.exposure_day > last[facts.exposure_case])
    good = (facts.exposure_orders - facts.exposure_failures)[since]
    return add_up_amounts(good, facts.exposure_case[since], facts.cases)


def _count_failures(facts: Facts, table: FactTable, rate: FailureRate) -> Ints:
    if rate.of == SERVICE_FAILURES:
        return facts.exposure_failures
    counts = [table.values[name][facts.exposure_row] for name in rate.of if name in table.values]
    return np.minimum(sum(counts, np.zeros_like(facts.exposure_orders)), facts.exposure_orders)
