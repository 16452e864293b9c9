"""Snapshots: what was known of each seller at an observation point, and what became of it.

Features come from what was reported before the observation point. Labels come from the truth known at one fixed
maturity after the window, less whatever was overturned since. What occurred before the point and was reported after it
is neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.columns import Ints
from scoring.facts import Facts, Violations, resolve
from scoring.features import matrix
from scoring.fold import Folder
from scoring.time import DAY
from training.context import fill_context
from training.events import Moved, moved_cases
from training.export import LedgerTable
from training.study import BadRule, Observation, Study

Floats = NDArray[np.float64]
RULE_POINTS = np.array([0, 1, 2, 4, 12], dtype=np.int64)
RULE_EXPIRY_DAYS = 180


@dataclass(frozen=True, slots=True)
class Snapshot:
    """n observed sellers in the order of (observation point, seller). Arrays of shape (n,), `x` (n, features).

    `seller` is the seller's code in the export, `day` the observation day, `bad` 0 or 1, `window_orders` the settled
    orders in the window, `orders` those before it, `rule_points` the hand-made points rule, `clean` no incident so far.
    """

    x: Floats
    bad: Floats
    seller: Ints
    day: Ints
    window_orders: Floats
    orders: Floats
    rule_points: Floats
    clean: NDArray[np.bool_]

    def take(self, index: NDArray[np.bool_] | Ints) -> "Snapshot":
        """The rows at `index`."""
        return Snapshot(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def snapshot(table: LedgerTable, study: Study, point: Observation) -> Snapshot:
    """Observes every eligible seller at one observation point, or at each event of a span of them."""
    if point.last_day is not None:
        return join([_of_events(moved, study) for moved in moved_cases(table, study, point)])
    columns = table.columns
    everyone = columns.cases
    facts = resolve(columns, np.full(everyone, point.day * DAY), as_reported=True)
    folder = Folder(study.constants)
    sums = folder.fold(facts)
    empty: Mapping[str, str] = {}
    attributes = [table.attributes.get(row, empty) for row in facts.identity_row.tolist()]
    x = fill_context(matrix(sums, study.features, attributes), table, study, point)

    final = resolve(columns, np.full(everyone, np.iinfo(np.int64).max // DAY * DAY))
    bad = _bad(table, study, point, final)
    window_orders = _orders_between(final, point.day, point.window_end)
    keep = facts.exists & (np.ones(everyone, bool) if study.reference_exposure is None else window_orders > 0)
    if study.active_before_months is not None:
        since = point.day - round(study.active_before_months * 365.25 / 12)
        keep &= _active(facts, since, point.day)
    if study.active_in_window:
        keep &= _active(final, point.day, point.window_end)
    kept = np.flatnonzero(keep)
    return Snapshot(
        x=x[kept],
        bad=bad[kept],
        seller=kept.astype(np.int64),
        day=np.full(len(kept), point.day, dtype=np.int64),
        window_orders=window_orders[kept],
        orders=sums.total_orders[kept],
        rule_points=_rule_points(facts)[kept],
        clean=sums.incidents[kept] == 0,
    )


def _of_events(moved: Moved, study: Study) -> Snapshot:
    rows = snapshot(moved.table, study, moved.point)
    return replace(rows, seller=moved.seller[rows.seller], day=moved.day[rows.seller])


def join(snapshots: list[Snapshot]) -> Snapshot:
    """Several observation points, one after the other."""
    names = Snapshot.__dataclass_fields__
    return Snapshot(*(np.concatenate([getattr(s, name) for s in snapshots]) for name in names))


def _bad(table: LedgerTable, study: Study, point: Observation, final: Facts) -> Floats:
    """1 for each seller with enough incidents in the window that match the bad definition, else 0."""
    truth_time = (point.window_end + study.maturity_days) * DAY
    mature = resolve(table.columns, np.full(table.columns.cases, truth_time), as_reported=True).violations
    # Less whatever was overturned since: what does not count by today's knowledge never makes anybody bad.
    still = np.isin(mature.row, final.violations.row)
    inside = (mature.day >= point.day) & (mature.day < point.window_end)
    matching = mature.take(inside & still)
    matching = matching.take(_matches(matching, study.bad, table))
    pairs = np.unique(np.stack([matching.case, matching.incident]), axis=1)
    incidents = np.bincount(pairs[0].astype(np.int64), minlength=table.columns.cases)
    return (incidents >= study.bad_at_least).astype(np.float64)


def _matches(v: Violations, rules: tuple[BadRule, ...], table: LedgerTable) -> NDArray[np.bool_]:
    found = np.zeros(len(v.case), dtype=bool)
    for rule in rules:
        match = (v.severity >= rule.severity) & (table.harm[v.row] >= rule.harm)
        if rule.violation_type is not None:
            match &= table.violation_type[v.row] == rule.violation_type
        if rule.category is not None:
            match &= v.category == rule.category
        found |= match
    return found


def _orders_between(facts: Facts, first: int, end: int) -> Floats:
    inside = (facts.exposure_day >= first) & (facts.exposure_day < end)
    orders = np.bincount(facts.exposure_case[inside], weights=facts.exposure_orders[inside], minlength=facts.cases)
    return orders.astype(np.float64)


def _active(facts: Facts, first: int, end: int) -> NDArray[np.bool_]:
    """Sellers with an exposure or a counted violation in [first, end)."""
    active = _orders_between(facts, first, end) > 0
    inside = (facts.violations.day >= first) & (facts.violations.day < end)
    active[facts.violations.case[inside]] = True
    return active


def _rule_points(facts: Facts) -> Floats:
    """The hand-made rule: 1, 2, 4 or 12 points by severity, for 180 days, the largest one of each incident."""
    v = facts.violations
    age = facts.observe_day[v.case] - v.day
    points = np.where(age < RULE_EXPIRY_DAYS, RULE_POINTS[v.severity], 0)
    new = np.ones(len(v.case), dtype=bool)
    new[1:] = (v.case[1:] != v.case[:-1]) | (v.incident[1:] != v.incident[:-1])
    starts = np.flatnonzero(new)
    largest = np.maximum.reduceat(points, starts) if len(starts) else points
    return np.bincount(v.case[starts], weights=largest, minlength=facts.cases).astype(np.float64)
