"""Reads the flow for cautions: half a year of a few sellers, some weeks of all."""

from collections.abc import Sequence

from scoring.caution.cautions import NO_FLOWS, Flows, choose_first_recent_day, find_cautions, may_be_set_off
from scoring.caution.history import choose_first_day
from scoring.features.columns import FactRow, FactTable, tabulate
from scoring.policy.policy import Policy
from service.ledger.records import Cut
from service.ledger.store import Ledger


def read_caution_flows(
    ledger: Ledger,
    marketplace: str,
    sellers: Sequence[str],
    cut: Cut,
    policy: Policy,
    facts: FactTable | Sequence[FactRow],
) -> Flows:
    """Return the flow of sellers who may be under caution at a cut."""
    stated, time = policy.caution, cut.observe_time
    if stated is None or not stated.flow_days:
        return NO_FLOWS
    recent = ledger.measures.flows(marketplace, sellers, cut, choose_first_recent_day(time, stated))
    table = facts if isinstance(facts, FactTable) else tabulate(facts, sellers)
    by_others = find_cautions(table, sellers, NO_FLOWS, time, stated)
    chosen = [
        seller
        for case, seller in enumerate(sellers)
        if case in by_others or may_be_set_off(recent.get(seller, ()), time, stated)
    ]
    if not chosen:
        return NO_FLOWS
    return ledger.measures.flows(marketplace, chosen, cut, choose_first_day(time, stated), with_before=True)
