"""How long decisions take, from report to decision.

Closed cases alone make it look too short, since the decisions that take long are still open.
"""

from dataclasses import asdict, dataclass

import numpy as np

from scoring.arrays import Floats, Ints
from scoring.enums import Kind, Status
from scoring.features.columns import EntryColumns
from scoring.time import DAY
from training.observation.export import LedgerTable
from training.observation.survival import kaplan_meier

_CLOSING = (Status.CONFIRMED, Status.DISMISSED, Status.WITHDRAWN)
"""Statuses that close an allegation."""


@dataclass(frozen=True, slots=True)
class DecisionDelay:
    """Days from report to decision of violations that needed a decision.

    A decision confirms or dismisses. A figure in days is None where so many violations are open that it is not known.
    """

    median_days: float | None
    """Median, open violations included as not over yet."""
    p95_days: float | None
    """95th percentile, open violations included as not over yet."""
    p95_closed_only_days: float | None
    """95th percentile of decided violations alone, which makes it look too short."""
    decided: int
    """Number of violations that were confirmed or dismissed."""
    open: int
    """Number of violations that are not closed."""
    withdrawn: int
    """Number of violations that their reporter withdrew undecided."""

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the figures by the name of their field, for JSON."""
        return asdict(self)


def decision_delay(table: LedgerTable, as_of: int | None = None) -> DecisionDelay:
    """Return the decision delay of all violations that needed a decision.

    By Kaplan and Meier, with open ones censored at the day `as_of` (default: the table's). What was confirmed on arrival
    needed no decision and is left out.
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
    """Return days open and closing status of each violation that was alleged.

    Days are from its report until it was closed, or until `as_of` (default: the table's); a status of 0 is not closed.
    """
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
    """Return the index of the first of `entries` about each violation; -1 where there is none.

    `entries` must be sorted by violation.
    """
    if not len(entries.violation):
        return np.full(len(violation), -1)
    place = np.minimum(np.searchsorted(entries.violation, violation), len(entries.violation) - 1)
    return np.where(entries.violation[place] == violation, place, -1)
