from collections.abc import Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Bools, Ints, first_of_runs
from scoring.base.enums import Attribution, Kind, Severity, Status
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.entries.lifecycle import COUNTING_STATUSES, OPEN_STATUSES, RETRACTED_STATUSES
from scoring.entries.violation_types import UNIT_STEPS
from scoring.features.columns import EntryColumns, FactRow

_STATUSES = {int(status): status for status in Status}
_COUNTS = np.array([Status(s) in COUNTING_STATUSES if s else False for s in range(9)])
_IS_OPEN = np.array([Status(s) in OPEN_STATUSES if s else False for s in range(9)])
_STANDS = np.array([Status(s) not in RETRACTED_STATUSES if s else False for s in range(9)])


@frozen
class Violations:
    """n counted violations by (case, incident, category), columns int64 of shape (n,); `violation_type` 0 if unknown."""

    case: Ints
    day: Ints
    category: Ints
    severity: Ints
    incident: Ints
    row: Ints
    violation_type: Ints

    def take(self, index: Bools | Ints | slice) -> "Violations":
        return Violations(*(getattr(self, column.name)[index] for column in fields(self)))


class ViolationColumns(NamedTuple):
    """Violations by (case, violation), counted or not, with the state that decisions gave them."""

    reports: EntryColumns
    """Their reports; else a decision."""
    is_reported: Bools
    """Whether the report is visible; else it does not count."""
    status: Ints
    severity: Ints
    """The last severity stated; units may raise it."""
    is_reduced: Bools
    """Whether a reduction stated the severity, so that units do not raise it."""
    units: Ints

    @property
    def counts(self) -> Bools:
        """Return a mask of violations that enter the score: reported, and confirmed, appealed or reduced."""
        mask: Bools = self.is_reported & _COUNTS[self.status]
        return mask

    @property
    def is_open(self) -> Bools:
        """Return a mask of undecided violations: reported, and alleged or under review."""
        mask: Bools = self.is_reported & _IS_OPEN[self.status]
        return mask

    @property
    def stands(self) -> Bools:
        """Return a mask of violations that count or are open."""
        mask: Bools = self.is_reported & _STANDS[self.status]
        return mask

    def units_if_upheld(self) -> Ints:
        """Return the distinct units of each violation, also of open ones, as if these were upheld."""
        return np.maximum(self.units, np.where(_IS_OPEN[self.status], self.reports.units, 0))

    def list_retracted(self) -> set[tuple[int, int]]:
        """Return (case, violation's code) of dismissed, withdrawn or overturned ones."""
        retracted = self.reports.take(~_STANDS[self.status])
        return set(zip(retracted.case.tolist(), retracted.violation.tolist(), strict=True))


class StatusStep(NamedTuple):
    violation: str
    row: FactRow
    status: Status
    """After it; ALLEGED before the report."""
    is_elsewhere: bool
    """Whether another seller's: the last attribution was accepted."""


def trace_statuses(rows: Iterable[FactRow]) -> Iterator[StatusStep]:
    """Yield the steps of all violations by sequence; pending decisions are left out."""
    status: dict[str, Status] = {}
    elsewhere: dict[str, bool] = {}
    for row in sorted(rows, key=attrgetter("sequence")):
        if row.kind not in (Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION) or row.violation is None or not row.status:
            continue
        name = row.violation
        if row.kind == Kind.ATTRIBUTION:
            elsewhere[name] = row.status == Attribution.ACCEPTED
        else:
            status[name] = _STATUSES[row.status]
        yield StatusStep(name, row, status.get(name, Status.ALLEGED), elsewhere.get(name, False))


def judge_violations(entries: EntryColumns) -> ViolationColumns:
    """Resolve each violation, by (case, violation), from its report and the decisions and attributions about it.

    `entries`: visible ones about violations only. The last stated severity counts. Pending decisions (status 0) are
    left out.
    """
    entries = entries.take((entries.kind != Kind.STATUS) | (entries.status != 0))
    entries = entries.take(np.lexsort((entries.sequence, entries.violation, entries.case)))
    n = len(entries.case)
    starts = np.flatnonzero(first_of_runs(entries.case, entries.violation))
    # Index 0 if none is stated: only a violation without its report lacks a severity, and it does not count.
    last_stated = np.where(entries.severity > 0, np.arange(n), 0)
    last_stated = np.maximum.reduceat(last_stated, starts) if n else last_stated
    reports = entries.take(starts)
    return ViolationColumns(
        reports=reports,
        is_reported=reports.kind == Kind.VIOLATION,
        status=_find_statuses(entries, starts),
        severity=entries.severity[last_stated],
        is_reduced=entries.kind[last_stated] == Kind.STATUS,
        units=_find_adjudicated_units(entries, starts),
    )


def sort_violations(reports: EntryColumns, chosen: Bools) -> tuple[Violations, NDArray[np.intp]]:
    """Return (chosen reports, sorted by case, incident and category; their indices in `reports`)."""
    order = np.flatnonzero(chosen)
    order = order[np.lexsort((reports.category[order], reports.incident[order], reports.case[order]))]
    day = reports.occur_time[order] // DAY
    columns = (reports.category, reports.severity, reports.incident, reports.row, reports.violation_type)
    return Violations(reports.case[order], day, *(column[order] for column in columns)), order


def _find_statuses(entries: EntryColumns, starts: NDArray[np.intp]) -> Ints:
    """Return the status of each violation, from entries by (violation, sequence).

    ALLEGED without a visible report; DISMISSED if the last attribution was accepted.
    """
    n = len(entries.case)
    if not n:
        return entries.status
    place = np.arange(n)
    is_status = entries.kind != Kind.ATTRIBUTION
    decided = np.maximum.reduceat(np.where(is_status, place, -1), starts)
    status = np.where(decided >= 0, entries.status[np.maximum(decided, 0)], int(Status.ALLEGED))
    if not is_status.all():
        last = np.maximum.reduceat(np.where(is_status, -1, place), starts)
        is_of_another_seller = (last >= 0) & (entries.status[np.maximum(last, 0)] == Attribution.ACCEPTED)
        status = np.where(is_of_another_seller, int(Status.DISMISSED), status)
    return status


def _find_adjudicated_units(entries: EntryColumns, starts: NDArray[np.intp]) -> Ints:
    if not entries.units.any():
        return np.zeros(len(starts), dtype=np.int64)
    adjudicated = (entries.kind == Kind.STATUS) | (
        (entries.kind == Kind.VIOLATION) & (entries.status == Status.CONFIRMED)
    )
    last = np.maximum.reduceat(np.where(adjudicated & (entries.units > 0), np.arange(len(entries.units)), -1), starts)
    return np.where(last >= 0, entries.units[np.maximum(last, 0)], 0)


def raise_severities(violations: Violations, severity: Ints, units: Ints, is_reduced: Bools) -> Ints:
    """Return severities raised by the distinct units of their incident, except severities set by a reduction.

    `severity` and `is_reduced`: shape (n,); `units` and the result: (..., n).
    """
    if not units.any():
        return severity
    is_first = first_of_runs(violations.case, violations.incident)
    by_incident = np.add.reduceat(np.where(is_reduced, 0, units), np.flatnonzero(is_first), axis=-1)
    total = by_incident[..., np.cumsum(is_first) - 1]
    steps = np.zeros_like(total)
    for least, step in UNIT_STEPS:
        steps = np.where(total >= least, step, steps)
    raised: Ints = np.where(is_reduced, severity, np.minimum(severity + steps, int(Severity.CRITICAL)))
    return raised
