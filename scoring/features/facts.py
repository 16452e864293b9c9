"""Facts of cases from entries: the known, counting and valid facts at each observe time.

Only this module decides which entries a score may see. "In time" is: occurred and reported before the observe time.

    - violations, identities, changes of control and overrides in time
    - inspections by `INSPECTORS`, and disputes that a buyer won, in time
    - passed inspections only from the last change of control on
    - exposure of days before the observe day, reported before the observe time:
      the highest revision, from the last change of control on
    - every given decision: the ledger bounded them by the known time
      (training: only those reported before the observe time)
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import NEVER, Bools, Ints, add_up_amounts, last_of_runs
from scoring.base.enums import Kind
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from scoring.features.corrections import apply_corrections, find_final_incidents
from scoring.features.findings import FINDING_KINDS, Findings, list_findings
from scoring.features.violations import (
    ViolationColumns,
    Violations,
    judge_violations,
    raise_severities,
    sort_violations,
)


@frozen
class Facts:
    """The valid facts of each case.

    Columns have shape (cases,); exposure is by (case, day). Days are since 1970-01-01. Places are -1
    if absent. `start_day`: first day of exposure or identity (`observe_day` if none). `first_fact_day`: the same, or of a
    standing report. `exists`: whether the ledger has a valid entry of the seller. `override`: the tier set by a person,
    or 0. `override_until`: in microseconds, or NEVER.
    """

    cases: int
    observe_day: Ints
    violations: Violations
    exposure_case: Ints
    exposure_day: Ints
    exposure_orders: Ints
    exposure_failures: Ints
    exposure_product: Ints
    exposure_row: Ints
    findings: Findings
    start_day: Ints
    first_fact_day: Ints
    level: Ints
    identity_row: Ints
    exists: Bools
    allegations: Ints
    override: Ints
    override_row: Ints
    override_until: Ints

    @property
    def settled_orders(self) -> Ints:
        """Return the settled orders by case, at most MAX_TOTAL."""
        return add_up_amounts(self.exposure_orders, self.exposure_case, self.cases)

    @property
    def tenure_days(self) -> Ints:
        """Return the days since `start_day` by case, never negative; 0 without exposure or identity."""
        return self.observe_day - self.start_day

    def part(self, cases: slice) -> "Facts":
        """Return the facts of a slice of the cases, then numbered from 0. The slice states both ends, no step."""
        first, end = cases.start, cases.stop
        guilty = slice(*np.searchsorted(self.violations.case, (first, end)).tolist())
        sold = slice(*np.searchsorted(self.exposure_case, (first, end)).tolist())
        found = slice(*np.searchsorted(self.findings.case, (first, end)).tolist())
        violations, findings = self.violations.take(guilty), self.findings.take(found)
        of_cases = {name: getattr(self, name)[cases] for name in _BY_CASE}
        sales = {name: getattr(self, name)[sold] for name in _BY_SALE}
        return Facts(
            cases=end - first,
            violations=replace(violations, case=violations.case - first),
            exposure_case=self.exposure_case[sold] - first,
            findings=replace(findings, case=findings.case - first),
            **of_cases,
            **sales,
        )


_BY_SALE = ("exposure_day", "exposure_orders", "exposure_failures", "exposure_product", "exposure_row")
_BY_CASE = (
    *("observe_day", "start_day", "first_fact_day", "level", "identity_row", "exists", "allegations"),
    *("override", "override_row", "override_until"),
)


def kind_mask(*kinds: Kind) -> Bools:
    """Return an array to be indexed by kinds' numbers: True for `kinds`."""
    return np.isin(np.arange(max(Kind) + 1), kinds)


_DECISIONS = (Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION)
COUNTING_KINDS = FINDING_KINDS.union(
    (*_DECISIONS, Kind.VIOLATION, Kind.EXPOSURE, Kind.IDENTITY, Kind.CONTROL, Kind.OVERRIDE, Kind.CASE)
)
"""Kinds that answers rest on; cases only end cautions."""

_IS_CHANGE = kind_mask(Kind.INCIDENT, Kind.CORRECTION)
IS_ABOUT_VIOLATIONS = kind_mask(Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION)
_IS_FINDING = kind_mask(*FINDING_KINDS)
_IS_FREQUENT = kind_mask(Kind.EXPOSURE, Kind.VIOLATION, *_DECISIONS)


@frozen
class VisibleFacts:
    observe_day: Ints
    judged: ViolationColumns
    """The violations, each in its final incident."""
    sold: EntryColumns
    """Exposure by (case, day): the highest revision per product category."""
    identities: EntryColumns
    """By (case, occur time, sequence): the last of a case is in force."""
    controls: EntryColumns
    overrides: EntryColumns
    finding_entries: EntryColumns


def resolve(
    columns: EntryColumns,
    observe_time: Ints | int,
    *,
    reported_before: int | None = None,
    upheld: Bools | None = None,
    as_reported: bool = False,
) -> Facts:
    """Resolve entries into the facts of every case, at the case's observe time.

    `observe_time`: microseconds, of all cases or by case. `reported_before` (microseconds; default: the observe time):
    entries reported before it are seen. `upheld`: bool, shape (cases,), cases in which open allegations count as confirmed.
    `as_reported`: decisions count only if reported before that time, as in training.
    """
    moment: Ints = np.full(columns.cases, observe_time)
    if as_reported:
        columns = columns.take(columns.report_time < moment[columns.case])
    visible = find_visible(apply_changes(columns), moment, reported_before=reported_before)
    judged = visible.judged
    counts, units = judged.counts, judged.units
    if upheld is not None:
        if_upheld = upheld[judged.reports.case]
        counts, units = counts | (if_upheld & judged.is_open), np.where(if_upheld, judged.units_if_upheld(), units)
    violations, order = sort_violations(judged.reports, counts)
    severity = raise_severities(violations, judged.severity[order], units[order], judged.is_reduced[order])
    return collect_facts(visible, moment, replace(violations, severity=severity))


def find_visible(
    columns: EntryColumns,
    observe_time: Ints,
    *,
    reported_before: int | None = None,
    sales: EntryColumns | None = None,
) -> VisibleFacts:
    """Find the visible entries of each case, counting or not.

    `columns`: after `apply_changes`. `observe_time`: by case, in microseconds. Visible is what occurred before it and was
    reported before it, or before `reported_before`. Decisions need no report. `sales`: the exposure, in place of that
    in `columns`.
    """
    moment, day = observe_time[columns.case], observe_time // DAY
    reported = columns.report_time < (moment if reported_before is None else reported_before)
    before, kind = reported & (columns.occur_time < moment), columns.kind
    seen = np.flatnonzero(before & ~_IS_FREQUENT[kind])
    others, kind_of_others = columns.take(seen), kind[seen]

    if sales is None:
        sold = columns.take((kind == Kind.EXPOSURE) & reported & (columns.day < day[columns.case]))
    else:
        is_sold = sales.report_time < (observe_time[sales.case] if reported_before is None else reported_before)
        is_sold &= sales.day < day[sales.case]
        sold = sales if is_sold.all() else sales.take(is_sold)
    order = _find_highest_revisions(sold)
    return VisibleFacts(
        observe_day=day,
        judged=judge_violations(columns.take(IS_ABOUT_VIOLATIONS[kind] & (before | (kind != Kind.VIOLATION)))),
        sold=sold if order is None else sold.take(order),
        identities=_sort_by_case(others.take(kind_of_others == Kind.IDENTITY), "occur_time", "sequence"),
        controls=_sort_by_case(others.take(kind_of_others == Kind.CONTROL), "occur_time", "sequence"),
        overrides=_sort_by_case(others.take(kind_of_others == Kind.OVERRIDE), "sequence"),
        finding_entries=others.take(_IS_FINDING[kind_of_others]),
    )


def collect_facts(visible: VisibleFacts, observe_time: Ints, violations: Violations) -> Facts:
    """Return each case's facts; tenure and orders count from its last change of control on."""
    sold, identities, judged, cases = visible.sold, visible.identities, visible.judged, len(observe_time)
    reports, day = judged.reports, visible.observe_day
    level, identity_row = _find_identities(identities)
    override, override_row, override_until = _find_overrides(visible.overrides, observe_time)
    start = first_days(cases, sold, identities)
    has_start, first_fact = start < NEVER, start.copy()
    np.minimum.at(first_fact, reports.case[judged.stands], reports.occur_time[judged.stands] // DAY)
    if len(visible.controls.case):
        control_days = _find_last_control_days(visible.controls)
        sold = sold.take(sold.day >= control_days[sold.case])
        start, first_fact = np.maximum(start, control_days), np.maximum(first_fact, control_days)
    else:
        control_days = None
    return Facts(
        cases=cases,
        observe_day=day,
        violations=violations,
        exposure_case=sold.case,
        exposure_day=sold.day,
        exposure_orders=sold.orders,
        exposure_failures=sold.failures,
        exposure_product=sold.product,
        exposure_row=sold.row,
        findings=list_findings(visible.finding_entries, control_days),
        start_day=np.where(has_start, start, day),
        first_fact_day=np.minimum(first_fact, day),
        level=level,
        identity_row=identity_row,
        exists=has_start | (np.bincount(reports.case[judged.stands], minlength=cases) > 0),
        allegations=np.bincount(reports.case[judged.is_open], minlength=cases).astype(np.int64),
        override=override,
        override_row=override_row,
        override_until=override_until,
    )


def first_days(cases: int, sold: EntryColumns, identities: EntryColumns) -> Ints:
    """Return by case the first UTC day of settled orders or a stated identity; NEVER without any."""
    start = np.full(cases, NEVER)
    np.minimum.at(start, sold.case, sold.day)
    np.minimum.at(start, identities.case, identities.occur_time // DAY)
    return start


def apply_changes(columns: EntryColumns) -> EntryColumns:
    """Apply all corrections, merges and splits among the entries; return the other entries.

    These changes do not depend on the observe time, so one call serves all.
    """
    is_change = _IS_CHANGE[columns.kind]
    if not is_change.any():
        return columns
    columns = apply_corrections(columns)
    is_change, places = _IS_CHANGE[columns.kind], np.flatnonzero(columns.kind == Kind.VIOLATION)
    judged = judge_violations(columns.take(IS_ABOUT_VIOLATIONS[columns.kind]))
    incident = columns.incident.copy()
    incident[places] = find_final_incidents(columns.take(places), columns.take(is_change), judged)
    return columns.with_columns(incident=incident).take(~is_change)


def _find_last_control_days(changes: EntryColumns) -> Ints:
    days = np.full(changes.cases, np.iinfo(np.int32).min, dtype=np.int64)
    np.maximum.at(days, changes.case, changes.occur_time // DAY)
    return days


def _find_overrides(overrides: EntryColumns, observe_time: Ints) -> tuple[Ints, Ints, Ints]:
    tier, row, until = (np.full(overrides.cases, nothing, dtype=np.int64) for nothing in (0, -1, NEVER))
    if len(overrides.case):
        in_force = overrides.until > observe_time[overrides.case]
        tier[overrides.case] = np.where(in_force, overrides.status, 0)  # the last assignment wins
        row[overrides.case] = np.where(in_force, overrides.row, -1)
        until[overrides.case] = np.where(in_force, overrides.until, NEVER)
    return tier, row, until


def _find_highest_revisions(sold: EntryColumns) -> NDArray[np.intp] | None:
    case, day = sold.case, sold.day
    if ((case[1:] > case[:-1]) | ((case[1:] == case[:-1]) & (day[1:] > day[:-1]))).all():
        return None  # one statement per day, in order, as in most feeds: no sort needed
    order = np.lexsort((sold.revision, sold.product, sold.day, sold.case))
    return order[last_of_runs(sold.case[order], sold.day[order], sold.product[order])]


def _sort_by_case(entries: EntryColumns, *keys: str) -> EntryColumns:
    if len(entries.case) < 2:
        return entries
    return entries.take(np.lexsort([getattr(entries, key) for key in (*reversed(keys), "case")]))


def _find_identities(identities: EntryColumns) -> tuple[Ints, Ints]:
    level = np.zeros(identities.cases, dtype=np.int64)
    row = np.full(identities.cases, -1, dtype=np.int64)
    level[identities.case] = identities.level  # the last assignment wins
    row[identities.case] = identities.row
    return level, row
