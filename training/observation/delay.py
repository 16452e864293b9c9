"""Days from report to decision.

Decided cases alone make it look too short, because slow decisions are still open.
"""

from dataclasses import asdict, dataclass

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import Kind, Status
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from training.observation.export import LedgerTable
from training.observation.survival import kaplan_meier

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

    def as_dict(self) -> dict[str, float | int | None]:
        return asdict(self)


def decision_delay(table: LedgerTable, as_of: int | None = None) -> DecisionDelay:
    """Return the decision delay by Kaplan and Meier, with open violations censored at `as_of` (default: the table's).

    Violations confirmed on arrival are left out.
    """
    days, status = _cases(table, as_of)
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


def _cases(table: LedgerTable, as_of: int | None) -> tuple[Floats, Ints]:
    """Return open days and closing status (0: open) of each alleged violation, until `as_of` (default: the table's)."""
    columns, end = table.columns, (table.as_of if as_of is None else as_of) * DAY
    columns = columns.take(columns.report_time < end)
    reports = columns.take((columns.kind == Kind.VIOLATION) & (columns.status != Status.CONFIRMED))
    decisions = columns.take((columns.kind == Kind.STATUS) & np.isin(columns.status, _CLOSING))
    decisions = decisions.take(np.lexsort((decisions.sequence, decisions.violation)))
    closed_by = first_about(decisions, reports.violation)
    is_closed = closed_by >= 0
    closed_at, status = np.full(len(closed_by), end), np.zeros(len(closed_by), dtype=np.int64)
    closed_at[is_closed] = decisions.report_time[closed_by[is_closed]]
    status[is_closed] = decisions.status[closed_by[is_closed]]
    return np.maximum(closed_at - reports.report_time, 0) / DAY, status


def first_about(entries: EntryColumns, violation: Ints) -> Ints:
    """Return the index of the first of `entries`, sorted by violation, about each violation; -1 without one."""
    if not len(entries.violation):
        return np.full(len(violation), -1)
    place = np.minimum(np.searchsorted(entries.violation, violation), len(entries.violation) - 1)
    return np.where(entries.violation[place] == violation, place, -1)
