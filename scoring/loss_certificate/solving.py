"""The table of a loss certificate: the most that a cheat can still get from each state, the least solution over all
edges.

    W(s) >= 0;   W(s) >= cash(s, a) + W(s') on every edge

A state that is gone is worth 0. If W(fresh) is 0, too, a new name closes every cycle without a gain; else the path to
it is the attack.

If `history_is_real`, honest trade may build up a history for free. Else it is faked or bought, and has a price.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.frozen import frozen
from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.states import States
from scoring.policy.measures import PPM

DaysSolved = Callable[[int, int], None]
"""Called with the solved days of a run, and all its days."""


@frozen
class LossTable:
    """The least table, in minor units."""

    history_is_real: bool
    price: Ints
    """The cost of a history up to each bucket of settled value; shape (buckets,)."""
    building: Ints
    """The most from each state before a run; shape (buckets, tenures, deposits)."""
    running: Ints
    """The most from each state of a run; shape (run days, buckets, tenures)."""
    ahead: Ints
    """The most that is paid out on young orders at a run's end; shape (buckets, tenures)."""
    fresh: int
    """The most that one name can get."""


def price_history(states: States, assumptions: Assumptions, history_is_real: bool) -> Ints:
    """Return the least cost of a history up to each bucket's lower edge, in minor units.

    Rounded down once, so differences add up exactly.
    """
    share = 0 if history_is_real else assumptions.wash_ppm
    return np.array([edge * share // PPM for edge in states.settled], dtype=np.int64)


def find_cost_ppm(assumptions: Assumptions, history_is_real: bool) -> int:
    """Return the least cost of settled value, as a share of it."""
    return 0 if history_is_real else min(assumptions.wash_ppm, assumptions.aged_account_ppm)


def solve(
    states: States, assumptions: Assumptions, history_is_real: bool, progress: DaysSolved | None = None
) -> LossTable:
    """Return by state the most that a cheat can still get, in minor units: the least table that satisfies every edge."""
    price = price_history(states, assumptions, history_is_real)
    ahead = states.bound_ahead(find_cost_ppm(assumptions, history_is_real))
    running = solve_running(states, price, ahead, progress)
    building = _solve_building(states, price, running[0])
    return LossTable(
        history_is_real, price, building, running[:-1], ahead, _find_most_of_new_name(states, assumptions, building)
    )


def _find_most_of_new_name(states: States, assumptions: Assumptions, building: Ints) -> int:
    return max(0, *(cash + int(building[state]) for state, cash in list_entries(states, assumptions)))


def list_entries(states: States, assumptions: Assumptions) -> list[tuple[tuple[int, int, int], int]]:
    """Return (state, cash): new, then each account that can be bought; cash is negative."""
    entries: list[tuple[tuple[int, int, int], int]] = []
    for bucket, row in enumerate(states.granted):
        for tenure, granted in enumerate(row):
            price = assumptions.aged_account_minor + states.settled[bucket] * assumptions.aged_account_ppm // PPM
            state = (bucket, tenure, states.deposits.index(granted.deposit_minor))
            if not entries:
                entries.append((state, -assumptions.identity_minor - granted.deposit_minor))
            entries.append((state, -price - granted.deposit_minor))
    return entries


def find_released_by_run_day(states: States) -> Ints:
    """Return the most that is paid out of each run day's orders before the run is stopped, in minor units.

    Shape (run days, buckets, tenures). Orders of the last day have age 0 at the stop.
    """
    smallest, ages = states.trade.smallest_order_minor, range(states.run_days - 1, -1, -1)
    numbers = {grant: number for number, grant in enumerate({grant for row in states.granted for grant in row})}
    by_number = np.array(
        [[grant.find_most_released(age, smallest) for age in ages] for grant in numbers], dtype=np.int64
    )
    number_of_state = [[numbers[grant] for grant in row] for row in states.granted]
    released: Ints = np.moveaxis(by_number[number_of_state], 2, 0)
    return released


def find_run_gain(states: States, run: Ints) -> Ints:
    """Return a run's gain from each state, less a required deposit not returned before the stop; (buckets, tenures)."""
    if not states.trade.deposit_is_refilled or states.trade.deposit_returned_after_days < states.run_days:
        return run
    return run - np.array([[one.deposit_minor for one in row] for row in states.granted], dtype=np.int64)


def solve_running(
    states: States,
    price: Ints,
    ahead: Ints,
    progress: DaysSolved | None = None,
    stages: Sequence[States] = (),
    after: Ints | None = None,
) -> Ints:
    """Return the most that a cheat can still get on each day of a run, in minor units; the last row is `ahead`.

    Shape (days + 1, buckets, tenures). `price`, `ahead`: as for `LossTable`. `stages`: states under all policies.
    `after`: the best table under a later policy.
    """
    days, buckets, tenures = states.run_days, len(states.settled), len(states.tenure)
    released = find_released_by_run_day(states)
    places = [[(b, j) for j in range(tenures)] for b in range(buckets)]
    reach = np.array(
        [[max(one.find_farthest_bucket(*place) for one in stages or (states,)) for place in row] for row in places]
    )
    most = int((reach - np.arange(buckets)[:, None]).max())
    table = np.zeros((days + 1, buckets, tenures), dtype=np.int64)
    table[days] = ahead
    for day in range(days - 1, -1, -1):
        best_next_day = table[day + 1].copy() if after is None else np.maximum(table[day + 1], after[day + 1])
        best_next_day[:, :-1] = np.maximum(
            best_next_day[:, :-1], best_next_day[:, 1:]
        )  # tenure may pass into the next bucket
        price_of_growth = price if day < states.trade.claim_days else np.zeros_like(price)
        best = best_next_day.copy()
        for step in range(1, most + 1):
            value_of_growth = best_next_day[step:] - (price_of_growth[step:] - price_of_growth[:-step])[:, None]
            is_reachable = reach[:-step] >= np.arange(step, buckets)[:, None]
            best[:-step] = np.where(is_reachable, np.maximum(best[:-step], value_of_growth), best[:-step])
        table[day] = np.maximum(released[day] + best, 0)
        if progress is not None:
            progress(days - day, days)
    return table


def solve_stages(stages: Sequence[States], assumptions: Assumptions, history_is_real: bool) -> int:
    """Return the most that one name can get while policies are served in sequence, in minor units.

    `stages`: the oldest first. The deposit is the smallest under which a run continues.
    """
    price, most, after = price_history(stages[0], assumptions, history_is_real), 0, None
    cost_ppm = find_cost_ppm(assumptions, history_is_real)
    # A payment under any policy leaves no more on young orders than the limit of that policy.
    ahead = np.maximum.reduce([stage.bound_ahead(cost_ppm) for stage in stages])
    granted = stages[-1].granted
    for states in reversed(stages):
        table = solve_running(states, price, ahead, None, stages, after)
        pairs = [zip(*rows, strict=True) for rows in zip(states.granted, granted, strict=True)]
        granted = tuple(
            tuple(replace(one, deposit_minor=min(one.deposit_minor, later.deposit_minor)) for one, later in row)
            for row in pairs
        )
        laxest = replace(states, granted=granted)
        most = max(most, _find_most_of_new_name(laxest, assumptions, _solve_building(laxest, price, table[0])))
        after = table if after is None else np.maximum(table, after)
    return most


def _solve_building(states: States, price: Ints, first_run_day: Ints) -> Ints:
    """Return the most from each state before a run; shape (buckets, tenures, deposits)."""
    most_before_run = np.maximum(find_run_gain(states, first_run_day), 0)
    for tenure in range(len(states.tenure) - 1, -1, -1):
        column = most_before_run[:, tenure]
        if tenure + 1 < len(states.tenure):
            column = np.maximum(column, most_before_run[:, tenure + 1])
        column = np.maximum.accumulate((column - price)[::-1])[::-1] + price
        most_before_run[:, tenure] = np.maximum.accumulate(column)
    return most_before_run[:, :, None] + np.array(states.deposits, dtype=np.int64)
