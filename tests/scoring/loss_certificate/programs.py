"""The table of a certificate as a linear program: an independent method."""

from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.solving import find_cost_ppm, find_released_by_run_day, list_entries, solve
from scoring.loss_certificate.states import States
from scoring.policy.measures import PPM


def solve_as_linear_program(states: States, assumptions: Assumptions, history_is_real: bool) -> list[int]:
    """Return the least table by HiGHS: minimise the sum of W, subject to one row per edge; all states, then fresh."""
    buckets, tenures, levels, days = len(states.settled), len(states.tenure), len(states.deposits), states.run_days
    share = 0 if history_is_real else assumptions.wash_ppm
    price = [edge * share // PPM for edge in states.settled]
    ahead = states.bound_ahead(find_cost_ppm(assumptions, history_is_real))
    released = find_released_by_run_day(states)
    edges: list[tuple[Any, Any, int]] = []
    for b in range(buckets):
        for j in range(tenures):
            ways = [(to, older) for to in range(b, states.reach(b, j) + 1) for older in {j, min(j + 1, tenures - 1)}]
            for day in range(days):
                for to, older in ways:
                    grown = price[to] - price[b] if day < states.trade.claim_days else 0
                    following = ("run", day + 1, to, older) if day + 1 < days else "gone"
                    on_young = int(ahead[to, older]) if day + 1 == days else 0
                    edges.append((("run", day, b, j), following, int(released[day, b, j]) - grown + on_young))
            for k, left in enumerate(states.deposits):
                here = ("build", b, j, k)
                edges.append((here, "gone", left))
                if left >= states.granted[b][j].deposit_minor or not states.trade.deposit_is_refilled:
                    back = left if states.trade.deposit_returned_after_days < days else 0
                    edges.append((here, ("run", 0, b, j), back))
                edges += [(here, ("build", b + 1, j, k), price[b] - price[b + 1])] if b + 1 < buckets else []
                edges += [(here, ("build", b - 1, j, k), 0)] if b else []
                edges += [(here, ("build", b, j + 1, k), 0)] if j + 1 < tenures else []
                edges += [(here, ("build", b, j, n), left - states.deposits[n]) for n in range(levels) if n != k]
    edges += [("fresh", ("build", *place), cash) for place, cash in list_entries(states, assumptions)]
    names = list(dict.fromkeys(name for edge in edges for name in edge[:2] if name != "gone"))
    index = {name: n for n, name in enumerate(names)}
    rows, columns, values = [], [], []
    for row, (start, end, _) in enumerate(edges):
        rows += [row, row] if end != "gone" else [row]
        columns += [index[start], index[end]] if end != "gone" else [index[start]]
        values += [-1, 1] if end != "gone" else [-1]
    matrix = coo_array((values, (rows, columns)), shape=(len(edges), len(names))).tocsr()
    found = linprog(np.ones(len(names)), A_ub=matrix, b_ub=[-cash for *_, cash in edges], method="highs")
    assert found.status == 0
    order = [("run", d, b, j) for d in range(days) for b in range(buckets) for j in range(tenures)]
    order += [("build", b, j, k) for b in range(buckets) for j in range(tenures) for k in range(levels)]
    return [round(float(found.x[index[name]])) for name in [*order, "fresh"]]


def table_of(states: States, assumptions: Assumptions, history_is_real: bool) -> list[int]:
    table = solve(states, assumptions, history_is_real)
    return [*table.running.ravel().tolist(), *table.building.ravel().tolist(), table.fresh]
