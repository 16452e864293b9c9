import numpy as np

from scoring.base.arrays import Ints
from scoring.base.enums import Kind
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from scoring.features.facts import Facts, kind_mask

_IS_SEEN_BY_TIME = kind_mask(
    *(Kind.VIOLATION, Kind.IDENTITY, Kind.CONTROL, Kind.OVERRIDE, Kind.INSPECTION, Kind.DISPUTE, Kind.CASE)
)
"""Kinds whose entries become visible at some time; decisions depend on knowledge."""


def hold_until(columns: EntryColumns, facts: Facts, observe_time: int, sales: EntryColumns | None = None) -> Ints:
    """Return, for each seller, the first time after `observe_time` at which its facts may differ, in microseconds.

    `columns`: from `apply_changes`, one case per seller. `facts`: those at `observe_time`. It is the earliest time of:

        - the next UTC midnight, since ages and exposure count by whole days
        - the end of the override in force
        - the microsecond after the later of occurrence and report of an invisible entry

    Exposure waits only for its report, and exposure of today or later for midnight.

    Worked: it is noon of day 1 (129,600 s). An override lasts until 18:00 (151,200 s). An inspection of 15:00 (140,400
    s) is reported at 14:00. The answer is 140,400.000001 s.
    """
    today = observe_time // DAY
    until = np.minimum(facts.override_until[: columns.cases], (today + 1) * DAY)
    last_unseen = np.maximum(columns.occur_time, columns.report_time)
    is_waiting = (last_unseen >= observe_time) & _IS_SEEN_BY_TIME[columns.kind]
    if is_waiting.any():
        np.minimum.at(until, columns.case[is_waiting], last_unseen[is_waiting] + 1)
    sold = columns.take(columns.kind == Kind.EXPOSURE) if sales is None else sales
    is_waiting = (sold.report_time >= observe_time) & (sold.day < today)
    if is_waiting.any():
        np.minimum.at(until, sold.case[is_waiting], sold.report_time[is_waiting] + 1)
    return until
