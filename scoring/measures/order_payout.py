"""The payout of one order on a day, with the terms and the stamps behind it."""

from dataclasses import dataclass

from scoring.entries.cases import PayoutStop
from scoring.policy.measures import Terms
from scoring.policy.payout import AheadLimit, Payout
from scoring.scores.answer import Stamp


@dataclass(frozen=True, slots=True)
class OrderPayout:
    payout: Payout
    terms: Terms
    value_cap_minor: int | None
    """The limit on a day's captured value at capture, or None."""
    stop: PayoutStop | None
    ahead: AheadLimit | None
    """The limit on the seller's young orders, if the order's terms have one."""
    capture_stamp: Stamp
    stamp: Stamp
