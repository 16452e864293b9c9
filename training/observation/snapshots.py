"""Each seller's features at an observation point, and its label.

Features use what was reported before the point. Labels use the truth at one fixed maturity after the window. A fact
that occurred before the point and was reported after it enters neither.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Bools, Floats, Ints, first_of_runs
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from scoring.features.facts import Facts, resolve
from scoring.features.fold import Folder, Sums
from scoring.features.table import AttributeFeature, matrix
from scoring.features.violations import Violations
from training.observation.chunks import split_by_sellers
from training.observation.context import fill_context
from training.observation.events import EventCases, move_cases
from training.observation.export import LedgerTable
from training.observation.labels import (
    Labels,
    Outcome,
    final_facts,
    find_market_cut,
    find_reported_violations,
    label,
    windows_at,
)
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


@frozen
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
        return Snapshot(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def sample(self, most: int, seed: int) -> "Snapshot":
        if len(self.bad) <= most:
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self.bad), most, replace=False))
        return self.take(chosen.astype(np.int64))

    def with_known_outcome(self) -> "Snapshot":
        """Return the rows that are good or bad."""
        known = self.outcome <= Outcome.BAD
        return self if known.all() else self.take(known)


@frozen
class EligibleRows:
    rows: Snapshot
    exclusions: Exclusions


@frozen
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

    Indeterminate and left sellers are among `rows`, with `bad` 0, and in `exclusions`. `final`: not used for a span.
    """
    if point.last_day is not None:
        return _weigh_by_orders(
            _join_parts([_observe_events(event_cases, study) for event_cases in move_cases(table, study, point)]), study
        )
    return _weigh_by_orders(_observe_day(table, study, point, final or final_facts(table)), study)


def _observe_day(table: LedgerTable, study: Study, point: Observation, final: Facts) -> EligibleRows:
    everyone = windows_at(table.columns.cases, point)
    cut = find_market_cut(table, study, everyone, final)
    parts = []
    for cases, columns in split_by_sellers(table.columns, PART_ENTRIES):
        part = replace(table, columns=columns)
        parts.append(_observe_part(part, study, point, final.part(cases), cases.start, cut))
    return _join_parts(parts)


def count_bad(table: LedgerTable, study: Study, point: Observation, final: Facts) -> int:
    cut = find_market_cut(table, study, windows_at(table.columns.cases, point), final)
    bad = 0
    for cases, columns in split_by_sellers(table.columns, PART_ENTRIES):
        part, part_final = replace(table, columns=columns), final.part(cases)
        labels = label(part, study, windows_at(columns.cases, point), part_final, cut)
        known = resolve(columns, point.day * DAY, as_reported=True)
        is_eligible, _ = _find_eligible(study, point, columns, known, part_final, labels)
        bad += int((is_eligible & (labels.outcome == Outcome.BAD)).sum())
    return bad


PART_ENTRIES = 100_000


def _weigh_by_orders(eligible: EligibleRows, study: Study) -> EligibleRows:
    rows = eligible.rows
    if study.bad.weigh_by != "orders" or not len(rows.bad):
        return eligible
    weight = rows.weight * rows.window_orders / rows.window_orders.mean()
    return replace(eligible, rows=replace(rows, weight=weight))


def _observe_part(
    table: LedgerTable, study: Study, point: Observation, final: Facts, first_seller: int, cut: float
) -> EligibleRows:
    facts_then = known_at(table, study, point)
    windows = windows_at(table.columns.cases, point)
    labels = label(table, study, windows, final, cut)
    is_eligible, exclusions = _find_eligible(study, point, table.columns, facts_then.facts, final, labels)
    eligible = np.flatnonzero(is_eligible).astype(np.int64)
    outcome = labels.outcome[eligible]
    exclusions |= {unknown.word: int((outcome == unknown).sum()) for unknown in (Outcome.INDETERMINATE, Outcome.LEFT)}
    rows = Snapshot(
        x=features_of(facts_then, table, study, point, eligible),
        bad=(outcome == Outcome.BAD).astype(np.float64),
        seller=eligible + first_seller,
        day=windows.day[eligible],
        window_orders=labels.window_orders[eligible],
        orders=facts_then.sums.total_orders[eligible],
        rule_points=_add_rule_points(facts_then.facts, study)[eligible],
        clean=facts_then.sums.ever[0][eligible] == 0,
        outcome=outcome,
        weight=np.ones(len(eligible)),
        raw_count=_count_recent_incidents(facts_then.facts)[eligible],
        tenure_days=facts_then.sums.tenure_days[eligible],
        country=_find_countries(table, facts_then.facts)[eligible],
        product_category=_find_product_categories(table, facts_then.facts)[eligible],
        inspected=labels.inspected[eligible],
    )
    return EligibleRows(rows, exclusions)


def known_at(table: LedgerTable, study: Study, point: Observation) -> KnownFacts:
    """Return each seller's facts as reported before the point, with their sums, for all cases of the table."""
    facts = resolve(table.columns, point.day * DAY, as_reported=True)
    return KnownFacts(facts, Folder(study.constants).fold(facts))


def features_of(facts: KnownFacts, table: LedgerTable, study: Study, point: Observation, cases: Ints) -> Floats:
    """Return the model input of `cases`, shape (n, features); the context columns are as they were, not at a reference."""
    attributes: list[Mapping[str, str]] | None = None
    if any(isinstance(feature, AttributeFeature) for feature in study.features):
        empty: Mapping[str, str] = {}
        attributes = [table.attributes.get(row, empty) for row in facts.facts.identity_row[cases].tolist()]
    x = matrix(facts.sums, study.features, attributes, cases)
    fill_context(x, table, study, point, cases)
    return x


def _observe_events(event_cases: EventCases, study: Study) -> EligibleRows:
    eligible = _observe_day(event_cases.table, study, event_cases.point, final_facts(event_cases.table))
    rows = eligible.rows
    return replace(
        eligible, rows=replace(rows, seller=event_cases.seller[rows.seller], day=event_cases.day[rows.seller])
    )


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
    return Snapshot(**{name: _move_into_array(parts) for name, parts in columns.items()})


def _move_into_array(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Join arrays, and drop each part when it is copied."""
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
    """Return which sellers the study asks about, and how many each condition leaves out."""
    conditions = {}
    if study.orders_needed:
        # The model learns nothing from excluded bad sellers, and the report must show it.
        is_good, orders = labels.outcome != Outcome.BAD, labels.window_orders
        conditions["bad_without_orders_in_window"] = is_good | (orders > 0)
        conditions["no_orders_in_window"] = orders > 0
        if study.orders_needed > 1:
            conditions["bad_with_too_few_orders"] = is_good | (orders >= study.orders_needed)
            conditions["too_few_orders_in_window"] = orders >= study.orders_needed
    if study.eligible.active_before_months is not None:
        first_day = point.day - round(study.eligible.active_before_months * 365.25 / 12)
        reported = find_reported_violations(columns, point.day * DAY)
        conditions["not_active_before"] = find_active(facts, first_day, point.day, reported)
    if study.eligible.active_in_window:
        conditions["not_active_in_window"] = find_active(final, point.day, point.window_end)
    is_eligible, exclusions = facts.exists, {}
    for why, is_met in conditions.items():
        exclusions[why] = int((is_eligible & ~is_met).sum())
        is_eligible = is_eligible & is_met
    return is_eligible, exclusions


def find_active(facts: Facts, first: int, end: int, violations: Violations | None = None) -> Bools:
    """Return which sellers have settled orders, or a violation (by default a counted one), in [first, end)."""
    inside = (facts.exposure_day >= first) & (facts.exposure_day < end) & (facts.exposure_orders > 0)
    active = np.zeros(facts.cases, dtype=bool)
    active[facts.exposure_case[inside]] = True
    violations = facts.violations if violations is None else violations
    inside = (violations.day >= first) & (violations.day < end)
    active[violations.case[inside]] = True
    return active


def _add_rule_points(facts: Facts, study: Study) -> Floats:
    """Return the hand-made rule's points by case, of the last 180 days.

    1, 2, 4 or 12 by severity, the largest per incident. If bad counts failed orders: one for each, or their rate.
    """
    if study.bad.count == "service_failures":
        recent = facts.observe_day[facts.exposure_case] - facts.exposure_day < RULE_EXPIRY_DAYS
        case = facts.exposure_case[recent]
        failures, orders = (
            np.bincount(case, weights=values[recent], minlength=facts.cases)
            for values in (facts.exposure_failures, facts.exposure_orders)
        )
        return np.asarray(failures / np.maximum(orders, 1.0) if study.is_rate else failures, dtype=np.float64)
    violations = facts.violations
    age = facts.observe_day[violations.case] - violations.day
    points = np.where(age < RULE_EXPIRY_DAYS, RULE_POINTS[violations.severity], 0)
    return _add_up_incidents(facts, points)


def _count_recent_incidents(facts: Facts) -> Floats:
    age = facts.observe_day[facts.violations.case] - facts.violations.day
    return _add_up_incidents(facts, (age < RAW_COUNT_DAYS).astype(np.int64))


def _add_up_incidents(facts: Facts, violation_value: Ints) -> Floats:
    """Return the sum by case of the largest value of each incident."""
    violations = facts.violations
    is_first = first_of_runs(violations.case, violations.incident)
    starts = np.flatnonzero(is_first)
    largest = np.maximum.reduceat(violation_value, starts) if len(starts) else violation_value
    return np.bincount(violations.case[starts], weights=largest, minlength=facts.cases).astype(np.float64)


def _find_countries(table: LedgerTable, facts: Facts) -> Texts:
    row = facts.identity_row
    return np.where(row >= 0, table.country[row], "")


def _find_product_categories(table: LedgerTable, facts: Facts) -> Texts:
    """Return the product category with the most orders by case; "" without orders."""
    names = np.array([*table.products, ""], dtype=object)
    category_count = len(names)
    pairs, pair_of_row = np.unique(
        facts.exposure_case * category_count + facts.exposure_product % category_count, return_inverse=True
    )
    orders = np.bincount(pair_of_row, weights=facts.exposure_orders, minlength=len(pairs))
    pairs_by_orders = pairs[np.lexsort((-(pairs % category_count), orders, pairs // category_count))]
    best_category = np.full(facts.cases, category_count - 1)
    best_category[pairs_by_orders // category_count] = pairs_by_orders % category_count
    texts: Texts = names[best_category]
    return texts
