from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scoring.base.time import DAY
from scoring.policy.measures import Terms
from scoring.policy.payout import Order, Payout, PayoutLimits, pay_out

SETTLED_A_DAY = 100


class PaidDay(NamedTuple):
    day: int
    limit_minor: int
    young_minor: int
    """Paid out on young orders so far."""
    payouts: dict[int, Payout]
    """By the order's place."""


def pay_daily(orders: Sequence[tuple[int, int, int]], terms: Terms, days: int) -> Iterator[PaidDay]:
    paid = dict.fromkeys(range(len(orders)), 0)
    for day in range(days):
        limit = terms.find_ahead_limit(SETTLED_A_DAY * day) or 0
        young = [place for place in paid if 0 <= day - orders[place][0] < terms.ahead_days]
        payouts = {}
        for place, (capture_day, lag, value) in enumerate(orders):
            if day >= capture_day:
                others = sum(paid[other] for other in young if other != place)
                confirmed = (capture_day + lag) * DAY
                order = Order(value, capture_day, "", confirmed_time=confirmed, others_paid_minor=others)
                payouts[place] = pay_out(order, terms, day, limits=PayoutLimits(ahead_minor=limit))
                paid[place] = payouts[place].released_minor
        yield PaidDay(day, limit, sum(paid[place] for place in young), payouts)
