"""Days from report to decision. Decided cases alone make it look short: slow decisions are still open."""

from dataclasses import dataclass

import numpy as np

from scoring.base.arrays import Bools, Floats, Ints
from scoring.base.enums import Kind, Status
from scoring.base.time import DAY
from training.observation.export import LedgerTable
from training.observation.joining import find_places

_CLOSING = (Status.CONFIRMED, Status.DISMISSED, Status.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class DecisionDelay:
    """Days from report to confirmation or dismissal. A figure is None if too many violations are open to know it."""

    median_days: float | None
    p95_days: float | None
    p95_closed_only_days: float | None
    """From decided violations only; it looks too short."""
    decided: int
    open: int
    withdrawn: int


def decision_delay(table: LedgerTable, as_of: int | None = None) -> DecisionDelay:
    """Estimate by Kaplan and Meier, with open violations censored at `as_of` (default: the table's).

    Violations confirmed on arrival are left out.
    """
    days, status = _find_open_days(table, as_of)
    is_decided = np.isin(status, (Status.CONFIRMED, Status.DISMISSED))
    curve = kaplan_meier(days, is_decided)
    closed = kaplan_meier(days[is_decided], np.ones(int(is_decided.sum()), dtype=bool))
    return DecisionDelay(
        median_days=curve.quantile(0.5),
        p95_days=curve.quantile(0.95),
        p95_closed_only_days=closed.quantile(0.95),
        decided=int(is_decided.sum()),
        open=int((status == 0).sum()),
        withdrawn=int((status == Status.WITHDRAWN).sum()),
    )


def _find_open_days(table: LedgerTable, as_of: int | None) -> tuple[Floats, Ints]:
    """Return open days and closing status (0: open) of each alleged violation, until `as_of` (default: the table's)."""
    columns, end = table.columns, (table.as_of if as_of is None else as_of) * DAY
    columns = columns.take(columns.report_time < end)
    reports = columns.take((columns.kind == Kind.VIOLATION) & (columns.status != Status.CONFIRMED))
    decisions = columns.take((columns.kind == Kind.STATUS) & np.isin(columns.status, _CLOSING))
    decisions = decisions.take(np.lexsort((decisions.sequence, decisions.violation)))
    closed_by = find_places(decisions.violation, reports.violation)
    is_closed = closed_by >= 0
    closed_at, status = np.full(len(closed_by), end), np.zeros(len(closed_by), dtype=np.int64)
    closed_at[is_closed] = decisions.report_time[closed_by[is_closed]]
    status[is_closed] = decisions.status[closed_by[is_closed]]
    return np.maximum(closed_at - reports.report_time, 0) / DAY, status


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """The unfinished share as a step function of time: 1 before the first time."""

    time: Floats
    """Ascending, shape (m,)."""
    share: Floats
    """From each time on, shape (m,)."""

    def quantile(self, p: float) -> float | None:
        """Return the time when the share `p` is finished; None if later than seen."""
        place = np.flatnonzero(self.share <= 1 - p + 1e-12)
        return float(self.time[place[0]]) if len(place) else None


def kaplan_meier(time: Floats, is_over: Bools) -> SurvivalCurve:
    """Estimate the unfinished share of n cases at each time.

    `time` is the end of each case or, if not `is_over`, the last time it was seen. Worked: times 1, 2, 2, 3, the second
    2 unfinished, give 1 - 1/4 = 0.75, 0.75 (1 - 1/3) = 0.5, then 0.
    """
    times, place = np.unique(time, return_inverse=True)
    ended = np.bincount(place, weights=is_over, minlength=len(times))
    left = np.bincount(place, minlength=len(times))
    at_risk = left[::-1].cumsum()[::-1]
    return SurvivalCurve(times.astype(np.float64), np.cumprod(1 - ended / at_risk))
