"""Labels: what became of each observed seller in its window, by the truth known at one fixed maturity after it.

Bad: enough incidents in the window that match the bad definition, or (if the study says so) a suspension imposed in it
that rests on a violation that counts. Less whatever was overturned since: what does not count by today's knowledge
makes nobody bad. A seller has left if it settled no order from some day on to the end of its window, and that day came
before the study's least share of the window was over. No entry says that an account was closed, so leaving is taken as
that: who left, is not bad, and would be if the allegations still open at the maturity (and not retracted since) were
upheld, closed with open claims and is indeterminate.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from scoring.enums import Kind
from scoring.features.columns import EntryColumns, Ints
from scoring.features.corrections import corrected
from scoring.features.facts import Facts, Violations, are, resolve
from scoring.time import DAY
from training.observation.export import LedgerTable
from training.observation.survival import kaplan_meier
from training.study.definition import BadRule, Study

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

EVER = np.iinfo(np.int64).max // DAY * DAY
"""A time after all others, in microseconds."""
NEVER = np.iinfo(np.int64).max
STRATA = 5
"""Groups of sellers by volume, in each of which the chance of staying is estimated."""
MOST_WEIGHT = 10.0
"""The most that one row may stand for."""


_IS_OF_VIOLATIONS = are(Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION)
"""Of each kind, by its number, whether it reports violations or decides about them."""


class Outcome(IntEnum):
    """What became of a seller."""

    GOOD = 0
    BAD = 1
    INDETERMINATE = 2
    LEFT = 3


@dataclass(frozen=True, slots=True)
class Windows:
    """The performance window of each case, days of shape (cases,): its first day, and the day after its last."""

    day: Ints
    end: Ints

    def hold(self, case: Ints, day: Ints) -> Bools:
        """Whether each day is in its case's window."""
        return (day >= self.day[case]) & (day < self.end[case])


@dataclass(frozen=True, slots=True)
class Labels:
    """Of shape (cases,). `outcome` as in Outcome; `loss`: the severity weights of the incidents in the window that match
    the bad definition, of each the largest, summed (unit: severity weight; 0 for those that are not bad; for a
    suspension at least what the gravest violation weighs that it rests on); `bad_day`: when it became bad, or NEVER;
    `left_day`: the first day from which on it settled no order up to the window's end; `window_orders`: settled orders in it;
    `inspected`: an inspection in the window had drawn it at random.
    """

    outcome: NDArray[np.int8]
    loss: Floats
    bad_day: Ints
    left_day: Ints
    window_orders: Floats
    inspected: Bools


def final_facts(table: LedgerTable) -> Facts:
    """What is known today, the same for every observation point.

    What was sold before an account came into other hands stays: it was sold in its window.
    """
    columns, is_control = table.columns, table.columns.kind == Kind.CONTROL
    if is_control.any():
        columns = columns.take(~is_control)
    return resolve(columns, np.full(columns.cases, EVER))


def label(table: LedgerTable, study: Study, windows: Windows, final: Facts) -> Labels:
    """Labels every case of the table. `final`: as of `final_facts`."""
    columns = table.columns.take(_IS_OF_VIOLATIONS[table.columns.kind])
    truth_time = (windows.end + study.maturity_days) * DAY
    mature = resolve(columns, truth_time, as_reported=True).violations
    mature = mature.take(np.isin(mature.row, final.violations.row))
    bad_day, loss = _bad(mature, table, study, windows)
    if study.bad_suspended:
        suspended_day, cost = _suspended(mature, table, study, windows, truth_time)
        bad_day, loss = np.minimum(bad_day, suspended_day), np.maximum(loss, cost)
    is_bad = bad_day < NEVER
    left_day, orders = _sold(final, windows)
    has_left = ~is_bad & (left_day - windows.day < study.least_share * (windows.end - windows.day))
    outcome = np.where(is_bad, Outcome.BAD, Outcome.GOOD).astype(np.int8)
    if study.left != "keep":
        outcome[has_left] = Outcome.LEFT
    outcome[_has_open_claims(columns, table, study, windows, has_left)] = Outcome.INDETERMINATE
    return Labels(
        outcome=outcome,
        loss=np.where(is_bad, loss, 0.0),
        bad_day=bad_day,
        left_day=left_day,
        window_orders=orders,
        inspected=_inspected(table, windows, truth_time),
    )


def matches(v: Violations, rules: tuple[BadRule, ...], table: LedgerTable) -> Bools:
    """Which violations one of the rules of a bad definition names."""
    found = np.zeros(len(v.case), dtype=bool)
    for rule in rules:
        match = (v.severity >= rule.severity) & (table.harm[v.row] >= rule.harm)
        if rule.violation_type is not None:
            match &= table.violation_type[v.row] == rule.violation_type
        if rule.category is not None:
            match &= v.category == rule.category
        found |= match
    return found


def staying_weights(outcome: NDArray[np.int8], time: Floats, volume: Floats) -> Floats:
    """Inverse probability weights of n rows, at most MOST_WEIGHT; 0 for those that left.

    `time`: the share of the window after which each left or became bad, else 1. The chance of staying is Kaplan and
    Meier's, in each of STRATA groups of like `volume`: who became bad need not have stayed any longer.
    """
    weight = np.zeros(len(outcome))
    for rows in np.array_split(np.argsort(volume, kind="stable"), STRATA):
        staying = kaplan_meier(time[rows], outcome[rows] == Outcome.LEFT).before(time[rows])
        weight[rows] = np.where(outcome[rows] == Outcome.LEFT, 0, 1 / np.maximum(staying, 1 / MOST_WEIGHT))
    return weight


def _bad(mature: Violations, table: LedgerTable, study: Study, windows: Windows) -> tuple[Ints, Floats]:
    """By case: the day of the incident that made it bad, or NEVER; and the severity weights of all that match."""
    v = mature.take(windows.hold(mature.case, mature.day))
    v = v.take(matches(v, study.bad, table))
    case, day, weight = _incidents(v, study)
    loss = np.bincount(case, weights=weight, minlength=len(windows.day))
    order = np.lexsort((day, case))
    case, day = case[order], day[order]
    new = np.append(True, case[1:] != case[:-1])[: len(case)]
    place = np.arange(len(case))
    number = place - np.maximum.accumulate(np.where(new, place, 0)) + 1
    deciding = number == study.bad_at_least
    bad_day = np.full(len(windows.day), NEVER)
    bad_day[case[deciding]] = day[deciding]
    return bad_day, loss.astype(np.float64)


def _incidents(v: Violations, study: Study) -> tuple[Ints, Ints, Ints]:
    """Case, first day and largest severity weight of each incident of violations sorted by (case, incident)."""
    starts = np.flatnonzero(
        np.append(True, (v.case[1:] != v.case[:-1]) | (v.incident[1:] != v.incident[:-1]))[: len(v.case)]
    )
    if not len(starts):
        return v.case, v.day, v.severity
    day = np.minimum.reduceat(v.day, starts)
    return v.case[starts], day, severity_weights(study)[np.maximum.reduceat(v.severity, starts)]


def severity_weights(study: Study) -> Ints:
    """What each severity weighs, by its number; 0 for none."""
    weights = study.constants.severity_weights
    return np.array([0, *(weights[severity] for severity in sorted(weights))], dtype=np.int64)


def _suspended(
    mature: Violations, table: LedgerTable, study: Study, windows: Windows, truth_time: Ints
) -> tuple[Ints, Floats]:
    """By case: the day of the first suspension in the window that rests on a violation that counts, or NEVER; and what
    the gravest of those weighs.
    """
    first, cost = np.full(len(windows.day), NEVER), np.zeros(len(windows.day))
    imposed, entry, place = suspensions_for(mature, table)
    case, day = imposed.case[entry], imposed.occur_time[entry] // DAY
    counts = (imposed.report_time[entry] < truth_time[case]) & windows.hold(case, day)
    case, place = case[counts], place[counts]
    np.minimum.at(first, case, day[counts])
    np.maximum.at(cost, case, severity_weights(study)[mature.severity[place]].astype(np.float64))
    return first, cost


def suspensions_for(v: Violations, table: LedgerTable) -> tuple[EntryColumns, Ints, Ints]:
    """The measures that stand, and each pair of a suspension among them and a violation of `v` that it rests on: the places
    of both.
    """
    imposed = _standing(table, Kind.MEASURE)
    entry, report = _rests_on(imposed.row, table)
    place = _place(v, imposed.case[entry], report)
    return imposed, entry[place >= 0], place[place >= 0]


def _rests_on(measures: Ints, table: LedgerTable) -> tuple[Ints, Ints]:
    """The suspensions among measures, given by row: place in `measures` and row of a report it rests on, pair by pair."""
    suspension, report = table.stated.suspensions.T
    start, end = (np.searchsorted(suspension, measures, side) for side in ("left", "right"))
    count = end - start
    entry = np.repeat(np.arange(len(measures)), count)
    within = np.arange(len(entry)) - np.repeat(np.cumsum(count) - count, count)
    return entry, report[start[entry] + within]


def _place(v: Violations, case: Ints, row: Ints) -> Ints:
    """The place in `v` of the violation of each case that was reported at each row, or -1."""
    order = np.lexsort((v.row, v.case))
    span = int(max(v.row.max(initial=0), row.max(initial=0))) + 1
    key, wanted = v.case[order] * span + v.row[order], case * span + row
    place = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
    return np.where(key[place] == wanted, order[place], -1) if len(key) else np.full(len(wanted), -1)


def _standing(table: LedgerTable, kind: Kind) -> EntryColumns:
    """The entries of a kind that stand today, by row, as corrected."""
    columns = table.columns.take(np.isin(table.columns.kind, (kind, Kind.CORRECTION)))
    columns, _ = corrected(columns, np.ones(len(columns.case), dtype=bool))
    columns = columns.take(columns.kind == kind)
    return columns.take(np.argsort(columns.row, kind="stable"))


def _sold(final: Facts, windows: Windows) -> tuple[Ints, Floats]:
    """By case: the day after the last settled order in the window (its first day if there is none), and orders in it."""
    inside = windows.hold(final.exposure_case, final.exposure_day) & (final.exposure_orders > 0)
    case = final.exposure_case[inside]
    orders = np.bincount(case, weights=final.exposure_orders[inside], minlength=final.cases)
    left_day = windows.day.copy()
    np.maximum.at(left_day, case, final.exposure_day[inside] + 1)
    return left_day, orders.astype(np.float64)


def _has_open_claims(
    columns: EntryColumns, table: LedgerTable, study: Study, windows: Windows, has_left: Bools
) -> Bools:
    """Which of those that left would be bad if the open allegations were upheld."""
    if not has_left.any():
        return has_left
    columns = columns.take(has_left[columns.case])
    upheld = np.ones(columns.cases, dtype=bool)
    truth_time = (windows.end + study.maturity_days) * DAY
    alleged = resolve(columns, truth_time, as_reported=True, upheld=upheld).violations
    today = resolve(columns, np.full(columns.cases, EVER), upheld=upheld).violations
    bad_day, _ = _bad(alleged.take(np.isin(alleged.row, today.row)), table, study, windows)
    return has_left & (bad_day < NEVER)


def _inspected(table: LedgerTable, windows: Windows, truth_time: Ints) -> Bools:
    inspections = _standing(table, Kind.INSPECTION)
    drawn = table.stated.is_random[inspections.row] & (inspections.report_time < truth_time[inspections.case])
    drawn &= windows.hold(inspections.case, inspections.occur_time // DAY)
    found = np.zeros(len(windows.day), dtype=bool)
    found[inspections.case[drawn]] = True
    return found
