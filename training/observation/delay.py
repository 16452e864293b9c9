"""How long a decision takes, from report to decision. Closed cases alone flatter, since those that take long are open yet."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from scoring.arrays import Floats, Ints
from scoring.enums import Category, Kind, Status
from scoring.features.columns import EntryColumns
from scoring.time import DAY
from training.observation.export import LedgerTable
from training.observation.survival import kaplan_meier

_CLOSING = (Status.CONFIRMED, Status.DISMISSED, Status.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Delay:
    """Days from report to decision (confirmed or dismissed) of violations that needed one. None: so many are open that it
    cannot be told. `..._closed_only_days`: of decided cases alone, which flatters. `decided`, `open` and `withdrawn`
    (by who reported them, undecided) are numbers of violations.
    """

    median_days: float | None
    p95_days: float | None
    median_closed_only_days: float | None
    p95_closed_only_days: float | None
    decided: int
    open: int
    withdrawn: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The figures by name."""
        return asdict(self)


def decision_delay(table: LedgerTable, as_of: int | None = None) -> Delay:
    """Of all violations by Kaplan and Meier, open ones censored at the day `as_of` (default: the table's).

    What was confirmed on arrival needed no decision and is not among them.
    """
    _, days, status = _cases(table, as_of)
    return _delay(days, status)


def delay_by_category(table: LedgerTable, as_of: int | None = None) -> Mapping[str, Delay]:
    """The same by category of violation, of those that have any."""
    category, days, status = _cases(table, as_of)
    found = {c.name.lower(): category == c for c in Category}
    return {name: _delay(days[of], status[of]) for name, of in found.items() if of.any()}


def _delay(days: Floats, status: Ints) -> Delay:
    is_decided = np.isin(status, (Status.CONFIRMED, Status.DISMISSED))
    curve = kaplan_meier(days, is_decided)
    closed = kaplan_meier(days[is_decided], np.ones(int(is_decided.sum()), dtype=bool))
    return Delay(
        median_days=curve.quantile(0.5),
        p95_days=curve.quantile(0.95),
        median_closed_only_days=closed.quantile(0.5),
        p95_closed_only_days=closed.quantile(0.95),
        decided=int(is_decided.sum()),
        open=int((status == 0).sum()),
        withdrawn=int((status == Status.WITHDRAWN).sum()),
    )


def _cases(table: LedgerTable, as_of: int | None) -> tuple[Ints, Floats, Ints]:
    """Of each violation that was alleged: category, days from its report until it was closed (or the as-of), and the
    status that closed it (0: none).
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
    return reports.category, np.maximum(closed_at - reports.report_time, 0) / DAY, status


def first_about(entries: EntryColumns, violation: Ints) -> Ints:
    """The place of the first of `entries` (in the order of violations) about each violation, or -1."""
    if not len(entries.violation):
        return np.full(len(violation), -1)
    place = np.minimum(np.searchsorted(entries.violation, violation), len(entries.violation) - 1)
    return np.where(entries.violation[place] == violation, place, -1)
