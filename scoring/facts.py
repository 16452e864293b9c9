"""From entries to facts: what was known, what counts, and what stands for each case at its observe time.

This is the one place that says which entries a score may see:

- violations and identities that occurred and were reported before the observe time;
- exposure of days before the day of the observe time, reported before it, by the highest revision;
- every status change among the given entries (the ledger bounded them by the known time), or in training only those
  reported before the observe time, which is what the source knew then.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.columns import EntryColumns, Ints
from scoring.lifecycle import COUNTING, OPEN, RETRACTED
from scoring.time import DAY
from scoring.words import Kind, Status

Bools = NDArray[np.bool_]


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

    def take(self, index: Bools | Ints) -> "Violations":
        """The violations at `index`."""
        columns = (self.case, self.day, self.category, self.severity, self.incident, self.row)
        return Violations(*(column[index] for column in columns))


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands for each case. Columns of shape (cases,) unless said otherwise; days since 1970-01-01.

    `start_day`: first day of exposure or identity (`observe_day` if none); `identity_row`: place of the identity entry
    in force, or -1; `exists`: whether the ledger holds anything of the seller that stands; `allegations`: open ones.
    """

    cases: int
    observe_day: Ints
    violations: Violations
    exposure_case: Ints
    exposure_day: Ints
    exposure_orders: Ints
    exposure_failures: Ints
    start_day: Ints
    level: Ints
    identity_row: Ints
    exists: Bools
    allegations: Ints

    def with_violations(self, violations: Violations) -> "Facts":
        """The same facts with other violations."""
        return replace(self, violations=violations)


_COUNTS = np.array([Status(s) in COUNTING if s else False for s in range(9)])
_COUNTS_IF_UPHELD = np.array([Status(s) in COUNTING | OPEN if s else False for s in range(9)])
_IS_OPEN = np.array([Status(s) in OPEN if s else False for s in range(9)])
_STANDS = np.array([Status(s) not in RETRACTED if s else False for s in range(9)])


def resolve(
    columns: EntryColumns,
    observe_time: Ints,
    *,
    reported_before: int | None = None,
    upheld: Bools | None = None,
    as_reported: bool = False,
) -> Facts:
    """Resolves entries into facts.

    `observe_time`: microseconds, shape (cases,). `reported_before` (microseconds): what was reported before then is
    seen at every observe time, by the knowledge of then (default: each case's own observe time). `upheld`: for which
    cases open allegations count as confirmed (default none). `as_reported`: status changes count only if reported
    before the observe time (training; see the module).
    """
    cases = columns.cases
    moment = observe_time[columns.case]
    reported = columns.report_time < (moment if reported_before is None else reported_before)
    before = reported & (columns.occur_time < moment)
    day = observe_time // DAY

    seen = np.where(columns.kind == Kind.STATUS, reported if as_reported else True, before)
    about = (columns.kind == Kind.VIOLATION) | (columns.kind == Kind.STATUS)
    violations, allegations, stands = _violations(columns.take(about & seen), upheld)

    sold = columns.take((columns.kind == Kind.EXPOSURE) & reported & (columns.day < day[columns.case]))
    sold = sold.take(_highest_revisions(sold))
    known = columns.take((columns.kind == Kind.IDENTITY) & before)
    level, identity_row = _identities(known)

    start = np.full(cases, np.iinfo(np.int64).max)
    np.minimum.at(start, sold.case, sold.day)
    np.minimum.at(start, known.case, known.occur_time // DAY)
    has_start = start < np.iinfo(np.int64).max
    return Facts(
        cases=cases,
        observe_day=day,
        violations=violations,
        exposure_case=sold.case,
        exposure_day=sold.day,
        exposure_orders=sold.orders,
        exposure_failures=sold.failures,
        start_day=np.where(has_start, start, day),
        level=level,
        identity_row=identity_row,
        exists=has_start | stands,
        allegations=allegations,
    )


def _violations(entries: EntryColumns, upheld: Bools | None) -> tuple[Violations, Ints, Bools]:
    """Counted violations; open allegations and whether any violation stands, by case."""
    order = np.lexsort((entries.sequence, entries.violation, entries.case))
    entries = entries.take(order)
    n = len(order)
    first = np.ones(n, dtype=bool)
    first[1:] = (entries.case[1:] != entries.case[:-1]) | (entries.violation[1:] != entries.violation[:-1])
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], n) - 1 if n else starts
    # The severity in force is the last one stated: by the report, or by a reduction since.
    stated = np.where(entries.severity > 0, np.arange(n), 0)
    severity = entries.severity[np.maximum.reduceat(stated, starts)] if n else entries.severity
    status = entries.status[ends]
    reports = entries.take(starts)
    # A status change whose report is not visible at the observe time says nothing about then.
    reported = reports.kind == Kind.VIOLATION

    counts = _COUNTS[status]
    if upheld is not None:
        counts = np.where(upheld[reports.case], _COUNTS_IF_UPHELD[status], counts)
    allegations = np.bincount(reports.case[reported & _IS_OPEN[status]], minlength=entries.cases)
    stands = np.bincount(reports.case[reported & _STANDS[status]], minlength=entries.cases) > 0
    kept = np.flatnonzero(reported & counts)
    kept = kept[np.lexsort((reports.category[kept], reports.incident[kept], reports.case[kept]))]
    violations = Violations(
        case=reports.case[kept],
        day=reports.occur_time[kept] // DAY,
        category=reports.category[kept],
        severity=severity[kept],
        incident=reports.incident[kept],
        row=reports.row[kept],
    )
    return violations, allegations.astype(np.int64), stands


def _highest_revisions(sold: EntryColumns) -> NDArray[np.intp]:
    """Index of the statement that counts for each (case, day, product category)."""
    order = np.lexsort((sold.revision, sold.product, sold.day, sold.case))
    if not len(order):
        return order
    case, day, product = sold.case[order], sold.day[order], sold.product[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (case[1:] != case[:-1]) | (day[1:] != day[:-1]) | (product[1:] != product[:-1])
    return order[last]


def _identities(known: EntryColumns) -> tuple[Ints, Ints]:
    """Level and row of the identity in force, by case: the latest by occur time, then by sequence."""
    order = np.lexsort((known.sequence, known.occur_time, known.case))
    level = np.zeros(known.cases, dtype=np.int64)
    row = np.full(known.cases, -1, dtype=np.int64)
    level[known.case[order]] = known.level[order]  # the last assignment wins
    row[known.case[order]] = known.row[order]
    return level, row
