"""Days from report to decision. Decided cases alone make it look short: slow decisions are still open."""

import numpy as np

from scoring.base.arrays import Bools, Floats, Ints
from scoring.base.enums import Kind, Status
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from training.observation.export import LedgerTable
from training.observation.joining import find_places

_CLOSING = (Status.CONFIRMED, Status.DISMISSED, Status.WITHDRAWN)


@frozen
class DecisionDelay:
    """Days from report to confirmation or dismissal. A figure is None if too many violations are open to know it."""

    median_days: float | None
    p95_days: float | None
    decided: int
    open: int
    withdrawn: int


def decision_delay(table: LedgerTable) -> DecisionDelay:
    """Estimate the days from report to decision by Kaplan and Meier, without violations confirmed on arrival."""
    days, status = _find_open_days(table)
    is_decided = np.isin(status, (Status.CONFIRMED, Status.DISMISSED))
    return DecisionDelay(
        median_days=find_time_of_share(days, is_decided, 0.5),
        p95_days=find_time_of_share(days, is_decided, 0.95),
        decided=int(is_decided.sum()),
        open=int((status == 0).sum()),
        withdrawn=int((status == Status.WITHDRAWN).sum()),
    )


def _find_open_days(table: LedgerTable) -> tuple[Floats, Ints]:
    """Return the days each reported violation was open, and the status that closed it or 0."""
    columns, end = table.columns, table.end_day * DAY
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


def find_time_of_share(time: Floats, is_over: Bools, share: float) -> float | None:
    """Return the time when the share of n cases is finished, by Kaplan and Meier; None if later than seen.

    `time` is the end of each case or, if not `is_over`, the last time it was seen. Worked: times 1, 2, 2, 3, the second
    2 unfinished, leave 1 - 1/4 = 0.75, 0.75 (1 - 1/3) = 0.5, then 0: half are finished at 2.
    """
    times, place = np.unique(time, return_inverse=True)
    finished = np.bincount(place, weights=is_over, minlength=len(times))
    at_risk = np.bincount(place, minlength=len(times))[::-1].cumsum()[::-1]
    unfinished_share = np.cumprod(1 - finished / at_risk)
    reached = np.flatnonzero(unfinished_share <= 1 - share + 1e-12)
    return float(times[reached[0]]) if len(reached) else None
