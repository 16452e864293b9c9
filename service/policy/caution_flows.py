"""Reads the flow for cautions: half a year of a few sellers, some weeks of all."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from scoring.caution.cautions import choose_first_recent_day, find_cautions, may_be_set_off
from scoring.caution.history import choose_first_day
from scoring.features.resolved import SellerFacts
from scoring.policy.policy import Policy
from scoring.scores.score import Cautions
from service.ledger.records import Cut

if TYPE_CHECKING:  # a task of `service.scale` reads no ledger
    from service.ledger.store import Ledger


def read_cautions(
    ledger: "Ledger",
    marketplace: str,
    seller_facts: SellerFacts,
    cut: Cut,
    policy: Policy,
    require_caller: Callable[[], None] = lambda: None,
) -> Cautions:
    """Return the cautions in force by case (place of the seller), without cases that have none."""
    caution_table, time, sellers = policy.caution, seller_facts.observe_time, seller_facts.sellers
    if caution_table is None:
        return {}
    without_flow = find_cautions(seller_facts, caution_table, require_caller=require_caller)
    if not caution_table.flow_days:
        return without_flow
    recent = ledger.measures.flows(marketplace, sellers, cut, choose_first_recent_day(time, caution_table))
    suspects = [
        seller
        for case, seller in enumerate(sellers)
        if case in without_flow or (seller in recent and may_be_set_off(recent[seller], time, caution_table))
    ]
    if not suspects:
        return {}
    flows = ledger.measures.flows(marketplace, suspects, cut, choose_first_day(time, caution_table), with_before=True)
    unchanged = {case: cautions for case, cautions in without_flow.items() if sellers[case] not in flows}
    return {**unchanged, **find_cautions(seller_facts, caution_table, flows, require_caller, among=flows)}
