"""Each seller's features at an observation point, and its label.

Features use what was reported before the point. Labels use the truth at one fixed maturity after the window. A fact
that occurred before the point and was reported after it enters neither.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Bools, Floats, Ints, first_of_runs
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from scoring.features.facts import Facts, resolve
from scoring.features.fold import Folder, Sums
from scoring.features.table import AttributeFeature, matrix
from scoring.features.violations import Violations
from training.observation.chunks import split_by_sellers
from training.observation.context import fill_context
from training.observation.events import MovedCases, move_cases
from training.observation.export import LedgerTable
from training.observation.labels import EVER, Labels, Outcome, final_facts, find_market_cut, label, windows_at
from training.study.definition import Observation, Study

Texts = NDArray[np.object_]
RULE_POINTS = np.array([0, 1, 2, 4, 12], dtype=np.int64)
RULE_EXPIRY_DAYS = 180
RAW_COUNT_DAYS = 730

Exclusions = Mapping[str, int]
"""Numbers of rows by the first reason that applies; `indeterminate` and `left` ones stay observed.

Reasons: `no_orders_in_window`, `bad_without_orders_in_window`, `too_few_orders_in_window`, `bad_with_too_few_orders`,
`not_active_before`, `not_active_in_window`, `indeterminate` (left with open claims), `left` (before enough of the
window).
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Observed sellers by (observation point, seller); arrays of shape (n,)."""

    x: Floats
    """The model's input, shape (n, features)."""
    bad: Floats
    seller: Ints
    day: Ints
    window_orders: Floats
    orders: Floats
    """Settled orders before the window."""
    rule_points: Floats
    clean: Bools
    """Without an incident."""
    outcome: NDArray[np.int8]
    weight: Floats
    """1, unless the study weighs rows by orders."""
    raw_count: Floats
    """Counted incidents of the last 24 months."""
    tenure_days: Ints
    """Days since the first exposure or identity."""
    country: Texts
    product_category: Texts
    """With the most settled orders; '' if unknown."""
    inspected: Bools

    def take(self, index: Bools | Ints | slice) -> "Snapshot":
        """Return the rows that a mask, places or a slice choose; a slice copies nothing."""
        return Snapshot(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def sample(self, most: int, seed: int) -> "Snapshot":
        """Return at most `most` rows, drawn without replacement by the seed and kept in order; all if fewer."""
        if len(self.bad) <= most:
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self.bad), most, replace=False))
        return self.take(chosen.astype(np.int64))

    def with_known_outcome(self) -> "Snapshot":
        """Return the rows that are good or bad; rows of unknown outcome are left out."""
        known = self.outcome <= Outcome.BAD
        return self if known.all() else self.take(known)


@dataclass(frozen=True, slots=True)
class EligibleRows:
    rows: Snapshot
    exclusions: Exclusions


@dataclass(frozen=True, slots=True)
class KnownFacts:
    facts: Facts
    sums: Sums


def observe_known_outcomes(
    table: LedgerTable, study: Study, point: Observation, final: Facts | None = None
) -> Snapshot:
    """Return the rows of `observe` that are good or bad."""
    return observe(table, study, point, final).rows.with_known_outcome()


def observe(table: LedgerTable, study: Study, point: Observation, final: Facts | None = None) -> EligibleRows:
    """Observe each eligible seller at a point, or at a span's events.

    Indeterminate and left sellers are among `rows`, with `bad` 0, and in `exclusions`. `final`: from `final_facts`; not
    used for a span.
    """
    if point.last_day is not None:
        return _weigh_by_orders(
            _join_parts([_observe_events(moved, study) for moved in move_cases(table, study, point)]), study
        )
    return _weigh_by_orders(_observe_day(table, study, point, final or final_facts(table)), study)


def _observe_day(table: LedgerTable, study: Study, point: Observation, final: Facts) -> EligibleRows:
    everyone = windows_at(table.columns.cases, point)
    cut = find_market_cut(table, study, everyone, final)
    parts = []
    for cases, columns in split_by_sellers(table.columns, AT_ONCE):
        part = replace(table, columns=columns)
        parts.append(_observe_part(part, study, point, final.part(cases), cases.start, cut))
    return _join_parts(parts)


def count_bad(table: LedgerTable, study: Study, point: Observation, final: Facts) -> int:
    """Return how many eligible sellers are bad at a point, as `observe` finds; it computes no features."""
    cut = find_market_cut(table, study, windows_at(table.columns.cases, point), final)
    bad = 0
    for cases, columns in split_by_sellers(table.columns, AT_ONCE):
        part, theirs = replace(table, columns=columns), final.part(cases)
        labels = label(part, study, windows_at(columns.cases, point), theirs, cut)
        known = resolve(columns, np.full(columns.cases, point.day * DAY), as_reported=True)
        keep, _ = _find_eligible(study, point, columns, known, theirs, labels)
        bad += int((keep & (labels.outcome == Outcome.BAD)).sum())
    return bad


AT_ONCE = 100_000


def _weigh_by_orders(found: EligibleRows, study: Study) -> EligibleRows:
    rows = found.rows
    if study.bad.weigh_by != "orders" or not len(rows.bad):
        return found
    weight = rows.weight * rows.window_orders / rows.window_orders.mean()
    return replace(found, rows=replace(rows, weight=weight))


def _observe_part(
    table: LedgerTable, study: Study, point: Observation, final: Facts, first: int, cut: float
) -> EligibleRows:
    facts_then = known_at(table, study, point)
    windows = windows_at(table.columns.cases, point)
    labels = label(table, study, windows, final, cut)
    keep, exclusions = _find_eligible(study, point, table.columns, facts_then.facts, final, labels)
    kept = np.flatnonzero(keep).astype(np.int64)
    outcome = labels.outcome[kept]
    exclusions |= {o.name.lower(): int((outcome == o).sum()) for o in (Outcome.INDETERMINATE, Outcome.LEFT)}
    rows = Snapshot(
        x=features_of(facts_then, table, study, point, kept),
        bad=(outcome == Outcome.BAD).astype(np.float64),
        seller=kept + first,
        day=windows.day[kept],
        window_orders=labels.window_orders[kept],
        orders=facts_then.sums.total_orders[kept],
        rule_points=_add_rule_points(facts_then.facts, study)[kept],
        clean=facts_then.sums.ever[0][kept] == 0,
        outcome=outcome,
        weight=np.ones(len(kept)),
        raw_count=_count_raw(facts_then.facts)[kept],
        tenure_days=facts_then.sums.tenure_days[kept],
        country=_find_countries(table, facts_then.facts)[kept],
        product_category=_find_product_categories(table, facts_then.facts)[kept],
        inspected=labels.inspected[kept],
    )
    return EligibleRows(rows, exclusions)


def known_at(table: LedgerTable, study: Study, point: Observation) -> KnownFacts:
    """Return each seller's facts as reported before the point, with their sums, for all cases of the table."""
    facts = resolve(table.columns, np.full(table.columns.cases, point.day * DAY), as_reported=True)
    return KnownFacts(facts, Folder(study.constants).fold(facts))


def features_of(facts: KnownFacts, table: LedgerTable, study: Study, point: Observation, cases: Ints) -> Floats:
    """Return the model input of `cases`, shape (n, features), with the actual context."""
    attributes: list[Mapping[str, str]] | None = None
    if any(isinstance(feature, AttributeFeature) for feature in study.features):
        empty: Mapping[str, str] = {}
        attributes = [table.attributes.get(row, empty) for row in facts.facts.identity_row[cases].tolist()]
    x = matrix(facts.sums, study.features, attributes, cases)
    fill_context(x, table, study, point, cases)
    return x


def _observe_events(moved: MovedCases, study: Study) -> EligibleRows:
    found = _observe_day(moved.table, study, moved.point, final_facts(moved.table))
    rows = found.rows
    return replace(found, rows=replace(rows, seller=moved.seller[rows.seller], day=moved.day[rows.seller]))


def _join_parts(parts: list[EligibleRows]) -> EligibleRows:
    exclusions: Counter[str] = Counter()
    for part in parts:
        exclusions.update(part.exclusions)
    return EligibleRows(join_snapshots([part.rows for part in parts]), dict(exclusions))


def join_snapshots(snapshots: list[Snapshot]) -> Snapshot:
    """Join the rows of snapshots, in order; ValueError without any."""
    if len(snapshots) == 1:
        return snapshots[0]
    return empty_into_one(snapshots.copy())


def empty_into_one(snapshots: list[Snapshot]) -> Snapshot:
    """Join as `join_snapshots`, and empty the list: memory holds the rows once."""
    if not snapshots:
        raise ValueError("there are no snapshots to join")
    columns = {name: [getattr(part, name) for part in snapshots] for name in Snapshot.__dataclass_fields__}
    snapshots.clear()
    return Snapshot(**{name: _empty_into_array(parts) for name, parts in columns.items()})


def _empty_into_array(parts: list[NDArray[Any]]) -> NDArray[Any]:
    end = sum(map(len, parts))
    joined = np.empty((end, *parts[0].shape[1:]), parts[0].dtype)
    while parts:
        part = parts.pop()
        joined[end - len(part) : end] = part
        end -= len(part)
    return joined


def _find_eligible(
    study: Study, point: Observation, columns: EntryColumns, facts: Facts, final: Facts, labels: Labels
) -> tuple[Bools, dict[str, int]]:
    conditions = {}
    if study.orders_needed:
        # The model learns nothing from excluded bad sellers, and the report must show it.
        is_good, sold = labels.outcome != Outcome.BAD, labels.window_orders
        conditions["bad_without_orders_in_window"] = is_good | (sold > 0)
        conditions["no_orders_in_window"] = sold > 0
        if study.orders_needed > 1:
            conditions["bad_with_too_few_orders"] = is_good | (sold >= study.orders_needed)
            conditions["too_few_orders_in_window"] = sold >= study.orders_needed
    if study.eligible.active_before_months is not None:
        since = point.day - round(study.eligible.active_before_months * 365.25 / 12)
        reported = _find_reported(columns, point.day)
        conditions["not_active_before"] = find_active(facts, since, point.day, reported)
    if study.eligible.active_in_window:
        conditions["not_active_in_window"] = find_active(final, point.day, point.window_end)
    keep, exclusions = facts.exists, {}
    for why, holds in conditions.items():
        exclusions[why] = int((keep & ~holds).sum())
        keep = keep & holds
    return keep, exclusions


def find_active(facts: Facts, first: int, end: int, violations: Violations | None = None) -> Bools:
    """Return which sellers have settled orders, or a violation (by default a counted one), in [first, end)."""
    inside = (facts.exposure_day >= first) & (facts.exposure_day < end) & (facts.exposure_orders > 0)
    active = np.zeros(facts.cases, dtype=bool)
    active[facts.exposure_case[inside]] = True
    violations = facts.violations if violations is None else violations
    inside = (violations.day >= first) & (violations.day < end)
    active[violations.case[inside]] = True
    return active


def _find_reported(columns: EntryColumns, day: int) -> Violations:
    upheld = np.ones(columns.cases, dtype=bool)
    then = resolve(columns, np.full(columns.cases, day * DAY), as_reported=True, upheld=upheld).violations
    now = resolve(columns, np.full(columns.cases, EVER), upheld=upheld).violations
    return then.take(np.isin(then.row, now.row))


def _add_rule_points(facts: Facts, study: Study) -> Floats:
    """Return the hand-made rule's points by case, of the last 180 days.

    1, 2, 4 or 12 by severity, the largest per incident. If bad counts failed orders: one for each, over the settled
    orders if bad is a rate.
    """
    if study.bad.count == "service_failures":
        recent = facts.observe_day[facts.exposure_case] - facts.exposure_day < RULE_EXPIRY_DAYS
        case = facts.exposure_case[recent]
        failed, orders = (
            np.bincount(case, weights=values[recent], minlength=facts.cases)
            for values in (facts.exposure_failures, facts.exposure_orders)
        )
        return np.asarray(failed / np.maximum(orders, 1.0) if study.is_rate else failed, dtype=np.float64)
    v = facts.violations
    age = facts.observe_day[v.case] - v.day
    points = np.where(age < RULE_EXPIRY_DAYS, RULE_POINTS[v.severity], 0)
    return _add_up_incidents(facts, points)


def _count_raw(facts: Facts) -> Floats:
    age = facts.observe_day[facts.violations.case] - facts.violations.day
    return _add_up_incidents(facts, (age < RAW_COUNT_DAYS).astype(np.int64))


def _add_up_incidents(facts: Facts, value: Ints) -> Floats:
    v = facts.violations
    new = first_of_runs(v.case, v.incident)
    starts = np.flatnonzero(new)
    largest = np.maximum.reduceat(value, starts) if len(starts) else value
    return np.bincount(v.case[starts], weights=largest, minlength=facts.cases).astype(np.float64)


def _find_countries(table: LedgerTable, facts: Facts) -> Texts:
    row = facts.identity_row
    return np.where(row >= 0, table.country[row], "")


def _find_product_categories(table: LedgerTable, facts: Facts) -> Texts:
    names = np.array([*table.products, ""], dtype=object)
    kinds = len(names)
    slot, place = np.unique(facts.exposure_case * kinds + facts.exposure_product % kinds, return_inverse=True)
    orders = np.bincount(place, weights=facts.exposure_orders, minlength=len(slot))
    best = slot[np.lexsort((-(slot % kinds), orders, slot // kinds))]
    main = np.full(facts.cases, kinds - 1)
    main[best // kinds] = best % kinds
    texts: Texts = names[main]
    return texts
