"""The best attack on a policy, step by step."""

from dataclasses import dataclass

import numpy as np

from scoring.base.arrays import Ints
from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.solving import Table, find_released_by_run_day, find_run_gain, list_entries
from scoring.loss_certificate.states import States


@dataclass(frozen=True, slots=True)
class RunDay:
    settled_minor: int
    tenure_days: int
    captured_minor: int
    released_minor: int
    """Paid out before the stop, without payouts on young orders."""
    washed_minor: int
    """Sales to itself that settle by the next day."""


@dataclass(frozen=True, slots=True)
class Attack:
    """The most profitable life of one name; costs are negative."""

    entered_with_minor: int
    """Settled value at entry, as of a bought history."""
    entry_cash_minor: int
    """Without its deposit."""
    deposit_minor: int
    history_cash_minor: int
    """Of the faked history before the run; 0 if it is real."""
    days: tuple[RunDay, ...]
    ended_with_minor: int
    """Settled value at the run's end."""
    ended_after_days: int
    """Tenure at the run's end."""
    ahead_minor: int
    """Paid out on young orders before the stop, less the cost of the history that raises their limit to it."""
    run_cash_minor: int
    """Less the cost of sales faked meanwhile."""


def find_attack(states: States, assumptions: Assumptions, table: Table) -> Attack:
    """Return the best attack of one name, whether it pays or not."""
    gain, price = find_run_gain(states, table.running[0]), table.price
    worth = gain - price[:, None]
    ahead = np.maximum.accumulate(np.maximum.accumulate(worth[::-1], axis=0)[::-1][:, ::-1], axis=1)[:, ::-1]
    options = [
        (cash + states.deposits[deposit] + int(ahead[bucket, tenure] + price[bucket]), place)
        for place, cash in list_entries(states, assumptions)
        for bucket, tenure, deposit in [place]
    ]
    best = max(range(len(options)), key=lambda number: options[number][0])
    total, (bucket, tenure, _) = options[best]
    rest = worth[bucket:, tenure:]
    found = np.argwhere(rest == rest.max())[-1]
    start = (bucket + int(found[0]), tenure + int(found[1]))
    run_cash = int(table.running[0][start])
    history = int(price[bucket] - price[start[0]])
    deposit = run_cash - int(gain[start])
    days, end = _follow_run(states, table, start)
    return Attack(
        entered_with_minor=states.settled[bucket],
        entry_cash_minor=total - (run_cash + history - deposit),
        deposit_minor=deposit,
        history_cash_minor=history,
        days=days,
        ended_with_minor=states.settled[end[0]],
        ended_after_days=states.tenure[end[1]],
        ahead_minor=int(table.ahead[end]),
        run_cash_minor=run_cash,
    )


def _follow_run(states: States, table: Table, start: tuple[int, int]) -> tuple[tuple[RunDay, ...], tuple[int, int]]:
    """Return the days of the best run, and its last (bucket, tenure)."""
    released = find_released_by_run_day(states)
    bucket, tenure = start
    days = []
    for day in range(states.run_days):
        following = table.running[day + 1] if day + 1 < states.run_days else table.ahead
        wanted = int(table.running[day][bucket, tenure] - released[day, bucket, tenure])
        grown = table.price if day < states.trade.claim_days else np.zeros_like(table.price)
        to = _find_next_state(states, following, grown, wanted, bucket, tenure)
        days.append(
            RunDay(
                settled_minor=states.settled[bucket],
                tenure_days=states.tenure[tenure],
                captured_minor=states.granted[bucket][tenure].cap_minor,
                released_minor=int(released[day, bucket, tenure]),
                washed_minor=states.settled[to[0]] - states.settled[bucket],
            )
        )
        bucket, tenure = to
    return tuple(days), (bucket, tenure)


def _find_next_state(
    states: States, following: Ints, grown: Ints, wanted: int, bucket: int, tenure: int
) -> tuple[int, int]:
    """Return the (bucket, tenure) of the next run day whose worth, less the history bought, is `wanted`."""
    for to in range(bucket, states.reach(bucket, tenure) + 1):
        for older in range(tenure, min(tenure + 2, len(states.tenure))):
            if int(following[to, older] - (grown[to] - grown[bucket])) == wanted:
                return to, older
    raise AssertionError("the table has a state that no edge leads out of")
