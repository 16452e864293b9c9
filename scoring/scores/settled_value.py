"""The settled value of sellers by product category, and their service failures, for growing caps and some rules."""

from collections.abc import Iterable, Mapping

import numpy as np

from scoring.base.arrays import Ints, add_up_amounts
from scoring.features.columns import FactTable
from scoring.features.facts import Facts
from scoring.policy.measures import PPM
from scoring.policy.policy import Policy
from scoring.policy.rules import Asked, FailureRate, Settled


def grows_with_value(policy: Policy) -> bool:
    """Return whether a rule or a growing cap asks for the settled value."""
    return any(isinstance(asked, Settled) for asked in policy.rule_book.asked)


def add_up_settled(facts: Facts, table: FactTable, currency: str) -> Mapping[str, Ints]:
    """Return each seller's settled value by product category, and of all under the empty text.

    Counted as orders are. Empty if the table lacks values in the currency.
    """
    if currency not in table.values:
        return {}
    value, case = table.values[currency][facts.exposure_row], facts.exposure_case
    found = {"": add_up_amounts(value, case, facts.cases)}
    for code, name in enumerate(table.products):
        mine = np.flatnonzero(facts.exposure_product == code)
        if name:
            found[name] = add_up_amounts(value[mine], case[mine], facts.cases)
    return found


def find_failure_rates(facts: Facts, asked: Iterable[Asked]) -> dict[FailureRate, Ints]:
    """Return each seller's service failures over settled orders by requested rate: parts per million, shape (cases,).

    3 failures of 70 orders are 42,857 ppm; with fewer orders than the rate asks for, 0.
    """
    found: dict[FailureRate, Ints] = {}
    age = facts.observe_day[facts.exposure_case] - facts.exposure_day
    for rate in asked:
        if isinstance(rate, FailureRate):
            recent = np.flatnonzero(age <= rate.days)
            case = facts.exposure_case[recent]
            orders = add_up_amounts(facts.exposure_orders[recent], case, facts.cases)
            failures = add_up_amounts(facts.exposure_failures[recent], case, facts.cases)
            found[rate] = np.where(orders >= rate.orders, failures * PPM // np.maximum(orders, 1), 0)
    return found
