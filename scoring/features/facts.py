"""Facts of cases from entries: what was known, what counts and what stands at each observe time.

This is the one place that decides which entries a score may see:

- violations, identities, changes of control and overrides that occurred and were reported before the observe time;
- inspections by who cannot be ordered (`INSPECTORS`), and disputes that a buyer won, likewise; inspections that were
  passed from the last change of control on;
- exposure of days before the day of the observe time, reported before it, by the highest revision, from the last change
  of control on;
- every decision about other entries (status changes, attributions, changes of incidents, corrections) among the given
  entries (the ledger bounded them by the known time), or in training only those reported before the observe time, which
  is what the source knew then.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import NEVER, Bools, Ints, first_of_runs, last_of_runs
from scoring.entries.lifecycle import COUNTING_STATUSES, OPEN_STATUSES, RETRACTED_STATUSES
from scoring.entries.violation_types import UNIT_STEPS
from scoring.enums import Attribution, Kind, Severity, Status
from scoring.features.columns import EntryColumns
from scoring.features.corrections import apply_corrections, apply_moves, apply_regroupings
from scoring.features.findings import FINDING_KINDS, findings_of
from scoring.time import DAY


@dataclass(frozen=True, slots=True)
class Violations:
    """n counted violations sorted by (case, incident, category), columns int64 of shape (n,).

    `day` is the UTC day it happened, `row` its report's place in the caller's list.
    """

    case: Ints
    day: Ints
    category: Ints
    severity: Ints
    incident: Ints
    row: Ints

    def take(self, index: Bools | Ints | slice) -> "Violations":
        """Return the violations at `index`."""
        columns = (self.case, self.day, self.category, self.severity, self.incident, self.row)
        return Violations(*(column[index] for column in columns))


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands for each case. Columns of shape (cases,), those of exposure by (case, day), those of findings by
    case; days since 1970-01-01.

    `start_day`: first day of exposure or identity (`observe_day` if none); `identity_row`: place of the identity entry
    in force, or -1; `exists`: whether the ledger holds anything of the seller that stands; `allegations`: open ones;
    `override`: the tier that a person set, or 0; `override_row`: the place of that entry, or -1; `override_until`: when it
    ends, in microseconds, or NEVER.
    """

    cases: int
    observe_day: Ints
    violations: Violations
    exposure_case: Ints
    exposure_day: Ints
    exposure_orders: Ints
    exposure_failures: Ints
    exposure_product: Ints
    finding_case: Ints
    finding_day: Ints
    finding: Ints
    start_day: Ints
    level: Ints
    identity_row: Ints
    exists: Bools
    allegations: Ints
    override: Ints
    override_row: Ints
    override_until: Ints

    def part(self, cases: slice) -> "Facts":
        """Return the facts of consecutive cases, numbered from 0; rows keep their numbers."""
        first, end = cases.start, cases.stop
        guilty = slice(*np.searchsorted(self.violations.case, (first, end)).tolist())
        sold = slice(*np.searchsorted(self.exposure_case, (first, end)).tolist())
        found = slice(*np.searchsorted(self.finding_case, (first, end)).tolist())
        violations = self.violations.take(guilty)
        own = {name: getattr(self, name)[cases] for name in _BY_CASE}
        sales = {name: getattr(self, name)[sold] for name in _BY_SALE}
        return Facts(
            cases=end - first,
            violations=replace(violations, case=violations.case - first),
            exposure_case=self.exposure_case[sold] - first,
            finding_case=self.finding_case[found] - first,
            finding_day=self.finding_day[found],
            finding=self.finding[found],
            **own,
            **sales,
        )


_BY_SALE = ("exposure_day", "exposure_orders", "exposure_failures", "exposure_product")
_BY_CASE = (
    *("observe_day", "start_day", "level", "identity_row", "exists", "allegations"),
    *("override", "override_row", "override_until"),
)

_COUNTS = np.array([Status(s) in COUNTING_STATUSES if s else False for s in range(9)])
_COUNTS_IF_UPHELD = np.array([Status(s) in COUNTING_STATUSES | OPEN_STATUSES if s else False for s in range(9)])
_IS_OPEN = np.array([Status(s) in OPEN_STATUSES if s else False for s in range(9)])
_STANDS = np.array([Status(s) not in RETRACTED_STATUSES if s else False for s in range(9)])


def kind_mask(*kinds: Kind) -> Bools:
    """Return, by number of a kind, whether it is among the given kinds."""
    return np.isin(np.arange(max(Kind) + 1), kinds)


_DECISIONS = (Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION)
COUNTING_KINDS = FINDING_KINDS.union(
    (*_DECISIONS, Kind.VIOLATION, Kind.EXPOSURE, Kind.IDENTITY, Kind.CONTROL, Kind.OVERRIDE)
)
"""Kinds of entries that `resolve` reads: all others change no score."""

_IS_DECISION = kind_mask(*_DECISIONS)
_IS_CHANGE = kind_mask(Kind.INCIDENT, Kind.CORRECTION)
_IS_ABOUT_VIOLATIONS = kind_mask(Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION)
_IS_FINDING = kind_mask(*FINDING_KINDS)


def resolve(
    columns: EntryColumns,
    observe_time: Ints,
    *,
    reported_before: int | None = None,
    upheld: Bools | None = None,
    as_reported: bool = False,
) -> Facts:
    """Resolve entries into the facts of every case.

    `observe_time`: microseconds, shape (cases,). `reported_before` (microseconds): entries reported before then are seen at
    every observe time (default: each case's own observe time). `upheld`: the cases in which open allegations count as
    confirmed (default none). `as_reported`: decisions count only if reported before the observe time (training; see the
    module).
    """
    cases = columns.cases
    moment = observe_time[columns.case]
    reported = columns.report_time < (moment if reported_before is None else reported_before)
    decided = _IS_DECISION[columns.kind] & (reported | (not as_reported))
    columns, kept = apply_corrections(columns, decided)
    moment, reported, decided = moment[kept], reported[kept], decided[kept]
    before = reported & (columns.occur_time < moment)
    day = observe_time // DAY

    about = _IS_ABOUT_VIOLATIONS[columns.kind] & (decided | (before & (columns.kind == Kind.VIOLATION)))
    changes = columns.take(decided & (columns.kind == Kind.INCIDENT))
    moves = columns.take(decided & (columns.kind == Kind.CORRECTION) & (columns.incident >= 0))
    violations, allegations, stands = _violations(columns.take(about), changes, moves, upheld)

    sold = columns.take((columns.kind == Kind.EXPOSURE) & reported & (columns.day < day[columns.case]))
    sold = sold.take(_highest_revisions(sold))
    known = columns.take((columns.kind == Kind.IDENTITY) & before)
    level, identity_row = _identities(known)
    override, override_row, override_until = _overrides(
        columns.take((columns.kind == Kind.OVERRIDE) & before), observe_time
    )

    start = _start_days(cases, sold, known)
    has_start = start < np.iinfo(np.int64).max
    controlled = _control_days(columns.take((columns.kind == Kind.CONTROL) & before))
    sold = sold.take(sold.day >= controlled[sold.case])
    start = np.maximum(start, controlled)
    finding_case, finding_day, finding = findings_of(columns.take(_IS_FINDING[columns.kind] & before), controlled)
    return Facts(
        cases=cases,
        observe_day=day,
        violations=violations,
        exposure_case=sold.case,
        exposure_day=sold.day,
        exposure_orders=sold.orders,
        exposure_failures=sold.failures,
        exposure_product=sold.product,
        finding_case=finding_case,
        finding_day=finding_day,
        finding=finding,
        start_day=np.where(has_start, start, day),
        level=level,
        identity_row=identity_row,
        exists=has_start | stands,
        allegations=allegations,
        override=override,
        override_row=override_row,
        override_until=override_until,
    )


def _start_days(cases: int, sold: EntryColumns, known: EntryColumns) -> Ints:
    """Return the first day of each case with settled orders or a stated identity; the largest integer without either."""
    start = np.full(cases, np.iinfo(np.int64).max)
    np.minimum.at(start, sold.case, sold.day)
    np.minimum.at(start, known.case, known.occur_time // DAY)
    return start


def apply_changes(columns: EntryColumns) -> EntryColumns:
    """Apply all corrections, merges and splits among the entries, once for every observe time that is looked at.

    Decisions are visible by knowledge and not by the observe time, so `resolve` gives the same of what is left, but
    training's (`as_reported`).
    """
    settling = _IS_CHANGE[columns.kind]
    if not settling.any():
        return columns
    columns, _ = apply_corrections(columns, settling)
    changes, places = columns.take(columns.kind == Kind.INCIDENT), np.flatnonzero(columns.kind == Kind.VIOLATION)
    moves = columns.take((columns.kind == Kind.CORRECTION) & (columns.incident >= 0))
    reports, incident = columns.take(places), columns.incident.copy()
    if len(moves.case):
        reports = apply_moves(reports, moves, changes, _retracted(columns.take(_IS_ABOUT_VIOLATIONS[columns.kind])))
    incident[places] = apply_regroupings(reports, changes)
    return columns.with_incident(incident).take(~_IS_CHANGE[columns.kind])


def mark_never_counting(columns: EntryColumns, reported_before: int) -> Bools:
    """Mark the entries about violations that count at no observe time, shape (n,), by what was reported before then.

    `columns` are settled. A violation that is alleged or retracted by the knowledge of now counts at no earlier observe
    time either: where allegations are neither upheld nor counted, `resolve` gives the same without these entries.
    """
    known = _IS_DECISION[columns.kind] | (columns.report_time < reported_before)
    about = np.flatnonzero(_IS_ABOUT_VIOLATIONS[columns.kind] & known & ~_is_pending(columns))
    about = about[_order_by_violation(columns.take(about))]
    entries, marked = columns.take(about), np.zeros(len(columns.case), dtype=bool)
    if len(about):
        first = _first_of_each(entries)
        counts = _COUNTS[_statuses(entries, np.flatnonzero(first))]
        marked[about] = ~counts[np.cumsum(first) - 1]
    return marked


def _is_pending(entries: EntryColumns) -> Bools:
    """Mark status changes that are pending: they lead to no status yet."""
    pending: Bools = (entries.kind == Kind.STATUS) & (entries.status == 0)
    return pending


def _order_by_violation(entries: EntryColumns) -> NDArray[np.intp]:
    """Return the order of entries by (case, violation, sequence)."""
    return np.lexsort((entries.sequence, entries.violation, entries.case))


def _first_of_each(entries: EntryColumns) -> Bools:
    """Mark the first entry of each violation; entries by (case, violation)."""
    return first_of_runs(entries.case, entries.violation)


def _violations(
    entries: EntryColumns, changes: EntryColumns, moves: EntryColumns, upheld: Bools | None
) -> tuple[Violations, Ints, Bools]:
    """Return the counted violations, and by case the number of open allegations and whether any violation stands.

    Incidents are those after `changes` and after the `moves` of reports in time.
    """
    entries = entries.take(~_is_pending(entries))
    entries = entries.take(_order_by_violation(entries))
    n = len(entries.case)
    starts = np.flatnonzero(_first_of_each(entries))
    place = np.arange(n)
    # The severity in force is the last one stated: by the report, or by a reduction since.
    stated = np.where(entries.severity > 0, place, 0)
    stated = np.maximum.reduceat(stated, starts) if n else stated
    severity, is_reduced = entries.severity[stated], entries.kind[stated] == Kind.STATUS
    status = _statuses(entries, starts)
    reports = entries.take(starts)
    # A decision whose report is not visible at the observe time says nothing about then.
    reported = reports.kind == Kind.VIOLATION

    counts, units = _COUNTS[status], _adjudicated_units(entries, starts)
    if upheld is not None:
        counts = np.where(upheld[reports.case], _COUNTS_IF_UPHELD[status], counts)
        # An open allegation is upheld with the units it alleges; what was decided stays as it was decided.
        alleged = np.where(upheld[reports.case] & _IS_OPEN[status], reports.units, 0)
        units = np.maximum(units, alleged)
    allegations = np.bincount(reports.case[reported & _IS_OPEN[status]], minlength=entries.cases)
    stands = np.bincount(reports.case[reported & _STANDS[status]], minlength=entries.cases) > 0
    if len(moves.case):
        reports = apply_moves(reports, moves, changes, _retracted(entries))
    incident = apply_regroupings(reports, changes)
    kept = np.flatnonzero(reported & counts)
    kept = kept[np.lexsort((reports.category[kept], incident[kept], reports.case[kept]))]
    violations = Violations(
        case=reports.case[kept],
        day=reports.occur_time[kept] // DAY,
        category=reports.category[kept],
        severity=severity[kept],
        incident=incident[kept],
        row=reports.row[kept],
    )
    return _raise_severities(violations, units[kept], is_reduced[kept]), allegations.astype(np.int64), stands


def _retracted(entries: EntryColumns) -> set[tuple[int, int]]:
    """Return (case, code) of the violations that are as if never reported, by all given entries."""
    entries = entries.take(~_is_pending(entries))
    entries = entries.take(_order_by_violation(entries))
    if not len(entries.case):
        return set()
    starts = np.flatnonzero(_first_of_each(entries))
    gone = starts[~_STANDS[_statuses(entries, starts)]]
    return set(zip(entries.case[gone].tolist(), entries.violation[gone].tolist(), strict=True))


def _statuses(entries: EntryColumns, starts: NDArray[np.intp]) -> Ints:
    """Return the status of each violation, that of its last status entry; entries by (violation, sequence).

    ALLEGED where no report is visible; DISMISSED where the last attribution was accepted: the goods are another seller's.
    """
    n = len(entries.case)
    if not n:
        return entries.status
    place = np.arange(n)
    is_status = entries.kind != Kind.ATTRIBUTION
    decided = np.maximum.reduceat(np.where(is_status, place, -1), starts)
    # Of a violation whose report is not visible there may be an attribution alone.
    status = np.where(decided >= 0, entries.status[np.maximum(decided, 0)], int(Status.ALLEGED))
    if not is_status.all():
        last = np.maximum.reduceat(np.where(is_status, -1, place), starts)
        is_of_another_seller = (last >= 0) & (entries.status[np.maximum(last, 0)] == Attribution.ACCEPTED)
        status = np.where(
            is_of_another_seller, int(Status.DISMISSED), status
        )  # somebody else's goods: as if never reported
    return status


def _adjudicated_units(entries: EntryColumns, starts: NDArray[np.intp]) -> Ints:
    """Return the distinct units of each violation, from the last decision that states any; entries by (violation, sequence).

    So the next count replaces a mistaken one, and units that a confirmation adjudicated are back when the violation is
    reinstated after an overturn.
    """
    if not entries.units.any():
        return np.zeros(len(starts), dtype=np.int64)
    adjudicated = (entries.kind == Kind.STATUS) | (
        (entries.kind == Kind.VIOLATION) & (entries.status == Status.CONFIRMED)
    )
    last = np.maximum.reduceat(np.where(adjudicated & (entries.units > 0), np.arange(len(entries.units)), -1), starts)
    return np.where(last >= 0, entries.units[np.maximum(last, 0)], 0)


def _raise_severities(v: Violations, units: Ints, is_reduced: Bools) -> Violations:
    """Return the violations with severities raised by their incident's units, except where a reduction set the severity."""
    if not units.any():
        return v
    new = first_of_runs(v.case, v.incident)
    total = np.add.reduceat(np.where(is_reduced, 0, units), np.flatnonzero(new))[np.cumsum(new) - 1]
    steps = np.zeros(len(v.case), dtype=np.int64)
    for least, step in UNIT_STEPS:
        steps = np.where(total >= least, step, steps)
    raised = np.minimum(v.severity + steps, int(Severity.CRITICAL))
    return replace(v, severity=np.where(is_reduced, v.severity, raised))


def _control_days(changes: EntryColumns) -> Ints:
    """Return, by case, the day of the last change of control, or a day before all others."""
    days = np.full(changes.cases, np.iinfo(np.int32).min, dtype=np.int64)
    np.maximum.at(days, changes.case, changes.occur_time // DAY)
    return days


def _overrides(stated: EntryColumns, observe_time: Ints) -> tuple[Ints, Ints, Ints]:
    """Return, by case, tier (0: none), row and end of the override in force: the last one stated, unless it has ended."""
    tier = np.zeros(stated.cases, dtype=np.int64)
    row, until = (np.full(stated.cases, nothing, dtype=np.int64) for nothing in (-1, NEVER))
    order = np.lexsort((stated.sequence, stated.case))
    in_force = stated.until[order] > observe_time[stated.case[order]]
    tier[stated.case[order]] = np.where(in_force, stated.status[order], 0)  # the last assignment wins
    row[stated.case[order]] = np.where(in_force, stated.row[order], -1)
    until[stated.case[order]] = np.where(in_force, stated.until[order], NEVER)
    return tier, row, until


def _highest_revisions(sold: EntryColumns) -> NDArray[np.intp]:
    """Return the index of the statement that counts for each (case, day, product category), in that order."""
    case, day = sold.case, sold.day
    if ((case[1:] > case[:-1]) | ((case[1:] == case[:-1]) & (day[1:] > day[:-1]))).all():
        return np.arange(len(case))  # one statement a day, in order, as most feeds are: nothing to sort
    order = np.lexsort((sold.revision, sold.product, sold.day, sold.case))
    if not len(order):
        return order
    return order[last_of_runs(sold.case[order], sold.day[order], sold.product[order])]


def _identities(known: EntryColumns) -> tuple[Ints, Ints]:
    """Return, by case, level and row of the identity in force: the latest by occur time, then by sequence."""
    order = np.lexsort((known.sequence, known.occur_time, known.case))
    level = np.zeros(known.cases, dtype=np.int64)
    row = np.full(known.cases, -1, dtype=np.int64)
    level[known.case[order]] = known.level[order]  # the last assignment wins
    row[known.case[order]] = known.row[order]
    return level, row
