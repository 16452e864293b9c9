"""Labels: each observed seller's outcome in its window, by the truth known at one fixed maturity after it.

Bad: enough in the window of what the study counts or, if it asks for it, a suspension that rests on a counted
violation. Violations overturned since do not count. Left: no settled order after the study's least share of the window.
Indeterminate: left, not bad, and bad if the allegations still open were upheld.
"""

import math

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import NEVER, Bools, Floats, Ints
from scoring.base.enums import Kind, WordEnum
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from scoring.features.corrections import apply_corrections
from scoring.features.facts import Facts, kind_mask, resolve
from scoring.features.violations import Violations
from training.observation.badness import (
    CountedEvents,
    amounts,
    bad_days,
    count_failures,
    count_incidents,
    market_cut,
    match_rules,
    required_count,
)
from training.observation.export import LedgerTable
from training.observation.joining import find_places, list_ranges
from training.study.definition import Observation, Study

EVER = np.iinfo(np.int64).max // DAY * DAY

_IS_OF_VIOLATIONS = kind_mask(Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION)
_IS_OF_SALES = kind_mask(Kind.EXPOSURE, Kind.CORRECTION)


class Outcome(WordEnum):
    GOOD = 0
    BAD = 1
    INDETERMINATE = 2
    LEFT = 3


@frozen
class Windows:
    """Performance windows in days, shape (cases,)."""

    day: Ints
    end: Ints

    def contain(self, case: Ints, day: Ints) -> Bools:
        return (day >= self.day[case]) & (day < self.end[case])


@frozen
class Labels:
    """Arrays of shape (cases,)."""

    outcome: NDArray[np.int8]
    window_orders: Floats
    inspected: Bools


def windows_at(cases: int, point: Observation) -> Windows:
    return Windows(np.full(cases, point.day), np.full(cases, point.window_end))


def final_facts(table: LedgerTable) -> Facts:
    """Return the facts by all that is known, later corrections included.

    Changes of control are left out: orders count in the window in which they were sold.
    """
    columns, is_control = table.columns, table.columns.kind == Kind.CONTROL
    if is_control.any():
        columns = columns.take(~is_control)
    return resolve(columns, EVER)


def find_market_cut(table: LedgerTable, study: Study, windows: Windows, final: Facts) -> float:
    """Return the rate of breaches over orders from which a seller is among the worst `bad.worst`; else infinity."""
    if study.bad.worst is None:
        return math.inf
    columns = table.columns.take(_IS_OF_VIOLATIONS[table.columns.kind])
    _, counted = _resolve_at_maturity(columns, table, study, windows, final)
    _, orders = count_sales(final, windows)
    return market_cut(study, counted.count_by_case(final.cases), orders)


def label(table: LedgerTable, study: Study, windows: Windows, final: Facts, cut: float | None = None) -> Labels:
    """Return what became of each seller: outcome, settled orders and random inspection in its window.

    LEFT does not occur if the study keeps such sellers. `cut`: from `find_market_cut`; required if the table is a part
    of the market.
    """
    if cut is None:
        cut = find_market_cut(table, study, windows, final)
    columns = table.columns.take(_IS_OF_VIOLATIONS[table.columns.kind])
    mature, counted = _resolve_at_maturity(columns, table, study, windows, final)
    left_day, orders = count_sales(final, windows)
    enough = required_count(study, orders, cut)
    bad_day = bad_days(counted, enough, study)
    if study.bad.suspended:
        truth_time = (windows.end + study.window.maturity_days) * DAY
        bad_day = np.minimum(bad_day, _find_suspension_days(mature, table, windows, truth_time))
    is_bad = bad_day < NEVER
    has_left = ~is_bad & (left_day - windows.day < study.eligible.least_share * (windows.end - windows.day))
    outcome = np.where(is_bad, Outcome.BAD, Outcome.GOOD).astype(np.int8)
    if study.eligible.left != "keep":
        outcome[has_left] = Outcome.LEFT
    outcome[_find_indeterminate(columns, table, study, windows, has_left, enough)] = Outcome.INDETERMINATE
    return Labels(
        outcome=outcome,
        window_orders=orders.astype(np.float64),
        inspected=_find_inspected(table, windows, (windows.end + study.window.maturity_days) * DAY),
    )


def _count_matching(mature: Violations, table: LedgerTable, study: Study, windows: Windows) -> CountedEvents:
    violations = mature.take(windows.contain(mature.case, mature.day))
    violations = violations.take(match_rules(violations, study.bad.rules, table))
    return count_incidents(violations, violations.day, amounts(violations, study, table))


def _count_failed(table: LedgerTable, windows: Windows, final: Facts, truth_time: Ints) -> CountedEvents:
    columns = table.columns.take(_IS_OF_SALES[table.columns.kind])
    counted = count_failures(resolve(columns, truth_time, as_reported=True), final)
    is_in_window = windows.contain(counted.case, counted.day)
    return counted.take(is_in_window)


def _resolve_at_maturity(
    columns: EntryColumns, table: LedgerTable, study: Study, windows: Windows, final: Facts
) -> tuple[Violations, CountedEvents]:
    """Return the violations that count at the maturity and still today, and what the study counts."""
    truth_time = (windows.end + study.window.maturity_days) * DAY
    mature = resolve(columns, truth_time, as_reported=True).violations
    mature = mature.take(np.isin(mature.row, final.violations.row))
    if study.bad.count == "service_failures":
        return mature, _count_failed(table, windows, final, truth_time)
    return mature, _count_matching(mature, table, study, windows)


def _find_suspension_days(mature: Violations, table: LedgerTable, windows: Windows, truth_time: Ints) -> Ints:
    """Return the first day in the window with a suspension for a violation; else NEVER."""
    suspension_day = np.full(len(windows.day), NEVER)
    measures, entry, _ = pair_suspensions_with_violations(mature, table)
    case, day = measures.case[entry], measures.occur_time[entry] // DAY
    is_in_time = (measures.report_time[entry] < truth_time[case]) & windows.contain(case, day)
    np.minimum.at(suspension_day, case[is_in_time], day[is_in_time])
    return suspension_day


def pair_suspensions_with_violations(violations: Violations, table: LedgerTable) -> tuple[EntryColumns, Ints, Ints]:
    """Return (entries of measures, indices into them, indices of violations): pairs of a suspension and a reason for
    it.

    Void entries, and suspensions that a policy's rule imposed, make none.
    """
    measures = _list_corrected_entries(table, Kind.MEASURE)
    suspension, report = table.suspensions.T
    first, end = (np.searchsorted(suspension, measures.row, side) for side in ("left", "right"))
    entry, report_pair = list_ranges(first, end - first)
    row_span = int(max(violations.row.max(initial=0), report.max(initial=0))) + 1
    violation_place = find_places(
        violations.case * row_span + violations.row, measures.case[entry] * row_span + report[report_pair]
    )
    return measures, entry[violation_place >= 0], violation_place[violation_place >= 0]


def _list_corrected_entries(table: LedgerTable, kind: Kind) -> EntryColumns:
    columns = table.columns.take(np.isin(table.columns.kind, (kind, Kind.CORRECTION)))
    columns = apply_corrections(columns)
    columns = columns.take(columns.kind == kind)
    return columns.take(np.argsort(columns.row, kind="stable"))


def count_sales(final: Facts, windows: Windows) -> tuple[Ints, Ints]:
    """Return, by case, the day after the window's last settled order (else the window's first day), and its orders."""
    is_sale_in_window = windows.contain(final.exposure_case, final.exposure_day) & (final.exposure_orders > 0)
    case = final.exposure_case[is_sale_in_window]
    orders = np.bincount(case, weights=final.exposure_orders[is_sale_in_window], minlength=final.cases)
    left_day = windows.day.copy()
    np.maximum.at(left_day, case, final.exposure_day[is_sale_in_window] + 1)
    return left_day, orders.astype(np.int64)


def _find_indeterminate(
    columns: EntryColumns, table: LedgerTable, study: Study, windows: Windows, has_left: Bools, enough: Ints
) -> Bools:
    """Return which leavers would be bad if open allegations were upheld; none if bad counts service failures."""
    if not has_left.any() or study.bad.count == "service_failures":
        return np.zeros(len(has_left), dtype=bool)
    columns = columns.take(has_left[columns.case])
    upheld = find_reported_violations(columns, (windows.end + study.window.maturity_days) * DAY)
    counted = _count_matching(upheld, table, study, windows)
    return has_left & (bad_days(counted, enough, study) < NEVER)


def find_reported_violations(columns: EntryColumns, time: Ints | int) -> Violations:
    """Return violations reported before a time (microseconds), open ones too, that stand today."""
    upheld = np.ones(columns.cases, dtype=bool)
    reported = resolve(columns, time, as_reported=True, upheld=upheld).violations
    standing = resolve(columns, EVER, upheld=upheld).violations
    return reported.take(np.isin(reported.row, standing.row))


def _find_inspected(table: LedgerTable, windows: Windows, truth_time: Ints) -> Bools:
    """Tell which sellers were inspected at random in the window."""
    inspections = _list_corrected_entries(table, Kind.INSPECTION)
    is_random_in_time = table.is_random[inspections.row] & (inspections.report_time < truth_time[inspections.case])
    is_random_in_time &= windows.contain(inspections.case, inspections.occur_time // DAY)
    is_inspected = np.zeros(len(windows.day), dtype=bool)
    is_inspected[inspections.case[is_random_in_time]] = True
    return is_inspected
