"""The settled value of a seller by product category, for growing caps and some rules."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from scoring.base.arrays import add_up_amounts
from scoring.base.enums import Kind
from scoring.features.columns import FactRow, columns_of
from scoring.features.facts import resolve
from scoring.policy.policy import Policy
from scoring.policy.rules import Settled

NO_VALUES: Mapping[str, int] = MappingProxyType({})


def grows_with_value(policy: Policy) -> bool:
    """Return whether a rule or a growing cap asks for the settled value."""
    return any(isinstance(asked, Settled) for asked in policy.rule_book.asked)


def add_up_settled(
    rows: Sequence[FactRow], seller: str, observe_time: int, settled_minor: Mapping[str, int]
) -> dict[str, int]:
    """Return the settled value by product category, and of all under the empty text; nothing without values.

    Counted as orders are.
    """
    if not settled_minor:
        return {}
    valued = [
        row._replace(settled_orders=settled_minor.get(row.entry_id, 0), service_failures=0)
        if row.kind == Kind.EXPOSURE
        else row
        for row in rows
    ]
    facts = resolve(columns_of(valued, [seller]), np.array([observe_time], dtype=np.int64))
    names = list(dict.fromkeys(row.product_category for row in rows if row.product_category is not None))
    product = facts.exposure_product
    of_products = add_up_amounts(facts.exposure_orders, product, len(names)).tolist()
    [total] = add_up_amounts(facts.exposure_orders, np.zeros_like(product), 1).tolist()
    return {"": total} | {name: value for name, value in zip(names, of_products, strict=True) if name}
