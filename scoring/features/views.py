"""One reading of a file for several times: now, the last day-ends, and now with open allegations upheld.

Each fact is stored once, with its age in each view, or NEVER if unseen.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scoring.base.arrays import NEVER, Bools, Ints
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from scoring.features.facts import Facts, VisibleFacts, collect_facts, first_days
from scoring.features.findings import FindingKind, Findings, list_findings
from scoring.features.violations import Violations, raise_severities, sort_violations


@frozen
class Ages:
    """Ages of facts in K views. Facts of one day that every view sees or misses alike share a column."""

    table: Ints
    """In whole days, NEVER if unseen; shape (K, columns)."""
    column: Ints
    """By fact."""


@frozen
class Views:
    facts: Facts
    """Facts of the first view; only it has allegations, overrides and existence."""
    violations: Violations
    """Every violation that counts in some view, by (seller, incident, category)."""
    violation_ages: Ages
    severity: Ints
    """Shape (K, violations), or (1, violations) if equal in every view."""
    exposure_case: Ints
    """By seller, as orders, failures and their ages."""
    exposure_orders: Ints
    exposure_failures: Ints
    exposure_ages: Ages
    findings: Findings
    finding_ages: Ages
    tenure_days: Ints
    """Shape (K, n), as `level` and `identity_row`."""
    level: Ints
    identity_row: Ints

    @property
    def number(self) -> int:
        """Return K, the number of views (times at which the same facts are read)."""
        return len(self.tenure_days)


def view_at_one_time(facts: Facts) -> Views:
    """Return facts as a single view (K = 1), at their own observe time."""
    day, v = facts.observe_day, facts.violations
    return Views(
        facts=facts,
        violations=v,
        violation_ages=_ages_at_one_time(day[v.case] - v.day),
        severity=v.severity[None],
        exposure_case=facts.exposure_case,
        exposure_orders=facts.exposure_orders,
        exposure_failures=facts.exposure_failures,
        exposure_ages=_ages_at_one_time(day[facts.exposure_case] - facts.exposure_day),
        findings=facts.findings,
        finding_ages=_ages_at_one_time(day[facts.findings.case] - facts.findings.day),
        tenure_days=facts.tenure_days[None],
        level=facts.level[None],
        identity_row=facts.identity_row[None],
    )


def _ages_at_one_time(age: Ints) -> Ages:
    return Ages(age[None], np.arange(len(age)))


def view_at_times(visible: VisibleFacts, times: Sequence[int]) -> Views:
    """Compute the views of every seller from each of `times`, all by the knowledge of the first.

    `visible`: at the first time, of entries after `apply_changes`. `times`, in microseconds: now, then UTC midnights
    before it or now again; in the last view open allegations are upheld. Each view equals `resolve`'s, to the last bit.
    """
    judged, sold = visible.judged, visible.sold
    cases = len(visible.observe_day)
    now = np.full(cases, times[0], dtype=np.int64)
    moments = np.array(times, dtype=np.int64)[:, None]
    day, last_day = moments // DAY, (moments - 1) // DAY

    violations, order = sort_violations(judged.reports, judged.counts | judged.is_open)
    is_open = judged.is_open[order]
    first, violation_column = _group_equal_facts(violations.day, is_open)
    is_seen = violations.day[first] <= last_day
    is_seen[:-1] &= ~is_open[first]
    violation_age = np.where(is_seen, day - violations.day[first], NEVER)
    units = judged.units_if_upheld()[order]
    if units.any():
        units = np.where(is_seen[:, violation_column], units, 0)
    severity = np.atleast_2d(raise_severities(violations, judged.severity[order], units, judged.is_reduced[order]))
    is_first = is_seen[0, violation_column]
    in_first = violations.take(is_first) if is_open.any() else violations
    facts = collect_facts(visible, now, replace(in_first, severity=severity[0][is_first]))

    start = first_days(cases, sold, visible.identities)
    has_start = start <= last_day
    findings = list_findings(visible.finding_entries)
    is_passed = findings.finding == FindingKind.INSPECTION_PASSED
    has_controls = len(visible.controls.case) > 0
    sale, sale_column = _group_equal_facts(sold.day, sold.case * has_controls)
    found, finding_column = _group_equal_facts(findings.day, is_passed, findings.case * has_controls)
    sold_age = day - sold.day[sale]
    seen_sales, seen_findings = sold_age > 0, findings.day[found] <= last_day
    if has_controls:
        place = _find_last_places_before(visible.controls, moments)
        controlled = np.where(place < 0, np.iinfo(np.int32).min, visible.controls.occur_time[place] // DAY)
        seen_sales &= sold.day[sale] >= controlled[:, sold.case[sale]]
        seen_findings &= ~is_passed[found] | (findings.day[found] >= controlled[:, findings.case[found]])
        start = np.maximum(start, controlled)
    level, identity_row = _find_identities(visible.identities, moments, facts)
    return Views(
        facts=facts,
        violations=violations,
        violation_ages=Ages(violation_age, violation_column),
        severity=severity,
        exposure_case=sold.case,
        exposure_orders=sold.orders,
        exposure_failures=sold.failures,
        exposure_ages=Ages(np.where(seen_sales, sold_age, NEVER), sale_column),
        findings=findings,
        finding_ages=Ages(np.where(seen_findings, day - findings.day[found], NEVER), finding_column),
        tenure_days=np.where(has_start, day - start, 0),
        level=level,
        identity_row=identity_row,
    )


def _group_equal_facts(day: Ints, *marks: Ints | Bools) -> tuple[Ints, Ints]:
    """Return the first fact of each group of equal day and marks, and each fact's group."""
    key = day
    for mark in marks:
        key = key * (mark.max(initial=0) + 1) + mark
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return first, group


def _find_identities(identities: EntryColumns, moments: Ints, facts: Facts) -> tuple[Ints, Ints]:
    shape = (len(moments), facts.cases)
    if (identities.occur_time < moments.min()).all():
        return np.broadcast_to(facts.level, shape), np.broadcast_to(facts.identity_row, shape)
    place = _find_last_places_before(identities, moments)
    return np.where(place < 0, 0, identities.level[place]), np.where(place < 0, -1, identities.row[place])


def _find_last_places_before(entries: EntryColumns, moments: Ints) -> Ints:
    """Return, by (moment, case), the place of the last entry before the moment, or -1."""
    before: Bools = entries.occur_time < moments
    place = np.full((len(moments), entries.cases), -1, dtype=np.int64)
    for number, case in enumerate(entries.case.tolist()):
        place[before[:, number], case] = number
    return place
