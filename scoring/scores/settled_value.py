"""The settled value of sellers by product category, for growing caps and some rules."""

from collections.abc import Mapping

import numpy as np

from scoring.base.arrays import Ints, add_up_amounts
from scoring.features.columns import FactTable
from scoring.features.facts import Facts
from scoring.policy.policy import Policy
from scoring.policy.rules import Settled


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
