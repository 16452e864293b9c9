"""Snapshots: what was known of each seller at an observation point, and what became of it.

Features come from what was reported before the observation point. Labels come from the truth known at one fixed
maturity after the window, less whatever was overturned since. What occurred before the point and was reported after it
is neither.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.columns import Ints
from scoring.facts import Facts, resolve
from scoring.features import matrix
from scoring.fold import Folder, Sums
from scoring.time import DAY
from training.context import fill_context
from training.events import Moved, moved_cases
from training.export import LedgerTable
from training.labels import Labels, Outcome, Windows, final_facts, label, staying_weights
from training.study import Observation, Study

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Texts = NDArray[np.object_]
RULE_POINTS = np.array([0, 1, 2, 4, 12], dtype=np.int64)
RULE_EXPIRY_DAYS = 180
RECENT_DAYS = 730
"""The 24 months of `raw_count`."""

Exclusions = Mapping[str, int]
"""Rows that were left out, by why: `no_orders_in_window`, `not_active_before`, `not_active_in_window`, `indeterminate`
(closed with open claims), `left` (before enough of the window was over). The first reason that applies counts.
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """n observed sellers in the order of (observation point, seller). Arrays of shape (n,), `x` (n, features).

    `seller` is the seller's code in the export, `day` the observation day, `bad` 0 or 1, `outcome` as in
    `training.labels.Outcome`, `weight` how many rows it stands for (1, unless the study weights those that stayed),
    `loss` in severity weight (see `training.labels.Labels`). `window_orders`: the settled orders in the window, `orders`
    those before it. `rule_points`: the hand-made points rule; `raw_count`: incidents that count of the last 24 months;
    `clean`: no incident so far. `tenure_days` since the first exposure or identity; `country` of the identity in force;
    `product_category` with the most settled orders so far; '' where unknown. `inspected`: at random, in the window.
    """

    x: Floats
    bad: Floats
    seller: Ints
    day: Ints
    window_orders: Floats
    orders: Floats
    rule_points: Floats
    clean: Bools
    outcome: NDArray[np.int8]
    weight: Floats
    loss: Floats
    raw_count: Floats
    tenure_days: Ints
    country: Texts
    product_category: Texts
    inspected: Bools

    def take(self, index: Bools | Ints) -> "Snapshot":
        """The rows at `index`."""
        return Snapshot(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def settled(self) -> "Snapshot":
        """The rows whose outcome is known: good and bad ones, from which models learn and by which they are judged."""
        return self.take(self.outcome <= Outcome.BAD)


@dataclass(frozen=True, slots=True)
class Observed:
    """All eligible rows of one observation point, those of unknown outcome among them, and what was left out."""

    rows: Snapshot
    exclusions: Exclusions


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of every seller at an observation point; `x` of shape (cases, features)."""

    facts: Facts
    sums: Sums
    x: Floats


def snapshot(table: LedgerTable, study: Study, point: Observation, final: Facts | None = None) -> Snapshot:
    """The sellers of known outcome that were eligible at one observation point."""
    return observe(table, study, point, final).rows.settled()


def observe(table: LedgerTable, study: Study, point: Observation, final: Facts | None = None) -> Observed:
    """Observes every eligible seller at one observation point. `final`: as of `final_facts`, if it is known already."""
    if point.last_day is not None:
        return _together([_of_events(moved, study) for moved in moved_cases(table, study, point)])
    final = final or final_facts(table)
    known = known_at(table, study, point)
    everyone = table.columns.cases
    windows = Windows(np.full(everyone, point.day), np.full(everyone, point.window_end))
    labels = label(table, study, windows, final)
    keep, exclusions = _eligible(study, point, known.facts, final, labels)
    kept = np.flatnonzero(keep)
    outcome = labels.outcome[kept]
    exclusions |= {o.name.lower(): int((outcome == o).sum()) for o in (Outcome.INDETERMINATE, Outcome.LEFT)}
    orders = known.sums.total_orders
    rows = Snapshot(
        x=fill_context(known.x, table, study, point)[kept],
        bad=(outcome == Outcome.BAD).astype(np.float64),
        seller=kept.astype(np.int64),
        day=windows.day[kept],
        window_orders=labels.window_orders[kept],
        orders=orders[kept],
        rule_points=_rule_points(known.facts)[kept],
        clean=known.sums.incidents[kept] == 0,
        outcome=outcome,
        weight=_weights(study, windows, labels, orders, kept),
        loss=labels.loss[kept],
        raw_count=_raw_count(known.facts)[kept],
        tenure_days=known.sums.tenure_days[kept],
        country=_countries(table, known.facts)[kept],
        product_category=_product_categories(table, known.facts)[kept],
        inspected=labels.inspected[kept],
    )
    return Observed(rows, exclusions)


def known_at(table: LedgerTable, study: Study, point: Observation) -> Known:
    """Facts, sums and features of every seller, from what was reported before the observation point."""
    facts = resolve(table.columns, np.full(table.columns.cases, point.day * DAY), as_reported=True)
    sums = Folder(study.constants).fold(facts)
    empty: Mapping[str, str] = {}
    attributes = [table.attributes.get(row, empty) for row in facts.identity_row.tolist()]
    return Known(facts, sums, matrix(sums, study.features, attributes))


def _of_events(moved: Moved, study: Study) -> Observed:
    found = observe(moved.table, study, moved.point)
    rows = found.rows
    return replace(found, rows=replace(rows, seller=moved.seller[rows.seller], day=moved.day[rows.seller]))


def _together(parts: list[Observed]) -> Observed:
    exclusions: Counter[str] = Counter()
    for part in parts:
        exclusions.update(part.exclusions)
    return Observed(join([part.rows for part in parts]), dict(exclusions))


def join(snapshots: list[Snapshot]) -> Snapshot:
    """Several observation points, one after the other."""
    names = Snapshot.__dataclass_fields__
    return Snapshot(*(np.concatenate([getattr(s, name) for s in snapshots]) for name in names))


def _eligible(
    study: Study, point: Observation, facts: Facts, final: Facts, labels: Labels
) -> tuple[Bools, dict[str, int]]:
    """Which of the sellers known at the point the study asks about, and how many it does not, by why."""
    conditions = {}
    if study.reference_exposure is not None:
        conditions["no_orders_in_window"] = labels.window_orders > 0
    if study.active_before_months is not None:
        since = point.day - round(study.active_before_months * 365.25 / 12)
        conditions["not_active_before"] = _active(facts, since, point.day)
    if study.active_in_window:
        conditions["not_active_in_window"] = _active(final, point.day, point.window_end)
    keep, exclusions = facts.exists, {}
    for why, holds in conditions.items():
        exclusions[why] = int((keep & ~holds).sum())
        keep = keep & holds
    return keep, exclusions


def _weights(study: Study, windows: Windows, labels: Labels, orders: Floats, kept: Ints | NDArray[np.intp]) -> Floats:
    if study.left != "weight":
        return np.ones(len(kept))
    ended = np.where(labels.outcome == Outcome.LEFT, labels.left_day, np.minimum(labels.bad_day, windows.end))
    share = (ended - windows.day) / (windows.end - windows.day)
    return staying_weights(labels.outcome[kept], share[kept], orders[kept])


def _active(facts: Facts, first: int, end: int) -> Bools:
    """Sellers with an exposure or a counted violation in [first, end)."""
    inside = (facts.exposure_day >= first) & (facts.exposure_day < end) & (facts.exposure_orders > 0)
    active = np.zeros(facts.cases, dtype=bool)
    active[facts.exposure_case[inside]] = True
    inside = (facts.violations.day >= first) & (facts.violations.day < end)
    active[facts.violations.case[inside]] = True
    return active


def _rule_points(facts: Facts) -> Floats:
    """The hand-made rule: 1, 2, 4 or 12 points by severity, for 180 days, the largest one of each incident."""
    v = facts.violations
    age = facts.observe_day[v.case] - v.day
    points = np.where(age < RULE_EXPIRY_DAYS, RULE_POINTS[v.severity], 0)
    return _by_incident(facts, points)


def _raw_count(facts: Facts) -> Floats:
    """Incidents that count of the last 24 months."""
    age = facts.observe_day[facts.violations.case] - facts.violations.day
    return _by_incident(facts, (age < RECENT_DAYS).astype(np.int64))


def _by_incident(facts: Facts, value: Ints) -> Floats:
    """By case the sum over incidents of the largest value of each; values by violation."""
    v = facts.violations
    new = np.ones(len(v.case), dtype=bool)
    new[1:] = (v.case[1:] != v.case[:-1]) | (v.incident[1:] != v.incident[:-1])
    starts = np.flatnonzero(new)
    largest = np.maximum.reduceat(value, starts) if len(starts) else value
    return np.bincount(v.case[starts], weights=largest, minlength=facts.cases).astype(np.float64)


def _countries(table: LedgerTable, facts: Facts) -> Texts:
    code = np.append(table.stated.country, 0)[facts.identity_row]  # row -1: no identity
    texts: Texts = table.stated.countries[code]
    return texts


def _product_categories(table: LedgerTable, facts: Facts) -> Texts:
    """Of each case the product category with the most settled orders, of like ones the first by name."""
    names = np.array([*table.products, ""], dtype=object)
    kinds = len(names)
    slot, place = np.unique(facts.exposure_case * kinds + facts.exposure_product % kinds, return_inverse=True)
    orders = np.bincount(place, weights=facts.exposure_orders, minlength=len(slot))
    best = slot[np.lexsort((-(slot % kinds), orders, slot // kinds))]
    main = np.full(facts.cases, kinds - 1)
    main[best // kinds] = best % kinds  # the last assignment wins
    texts: Texts = names[main]
    return texts
