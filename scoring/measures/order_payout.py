from scoring.base.frozen import frozen
from scoring.entries.cases import PayoutStop
from scoring.policy.measures import Terms
from scoring.policy.payout import Payout
from scoring.scores.answer import Stamp


@frozen
class OrderPayout:
    payout: Payout
    terms: Terms
    value_cap_minor: int | None
    """The limit on a day's captured value at capture, or None."""
    stop: PayoutStop | None
    ahead_limit_minor: int | None
    """The most that is paid out on the seller's young orders together, if the order's terms limit it."""
    capture_stamp: Stamp
    stamp: Stamp
