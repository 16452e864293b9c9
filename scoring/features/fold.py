"""The fold: from facts to exact integer sums, vectorised over cases.

Per incident, category and half-life the largest severity weight x decay counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import NEVER, Bools, Floats, Ints, first_of_runs, reduce_runs
from scoring.base.enums import Category, Severity
from scoring.base.frozen import frozen
from scoring.features.decay import EXPOSURE_BITS, HALF_LIVES, UNIT, UNIT_BITS, add_up, decay_table
from scoring.features.facts import Facts
from scoring.features.findings import FindingKind
from scoring.features.views import Views, view_at_one_time

FLOORS = (Severity.MINOR, Severity.MODERATE, Severity.MAJOR)
"""Lowest severities for counts of incidents."""

SINCE = (Severity.MINOR, Severity.MAJOR)
"""Lowest severities for days since the last violation."""

FINDING_HALF_LIVES = (90, 365)
"""In days; inspections are rare."""

WORST_DAYS = 730
RECENT_DAYS = 365

MIXED_CELLS = 1_000_000
"""Values of facts compared at once: 8 MB."""

SQUARE_BITS = 10
"""Weights are squared in steps of 2^-10."""


@frozen
class Constants:
    """The constants that an artifact pins: severity weights (1 to 63), damping of rates, scale of exposure."""

    severity_weights: Mapping[Severity, int]
    rate_damping: float = 50.0
    exposure_scale: float = 1000.0


DEFAULT_WEIGHTS = {Severity.MINOR: 1, Severity.MODERATE: 3, Severity.MAJOR: 9, Severity.CRITICAL: 27}


ALL_CATEGORIES = len(Category)
FLOOR_PLACES = {
    Severity.MODERATE: ALL_CATEGORIES + 1,
    Severity.MAJOR: ALL_CATEGORIES + 2,
    Severity.MINOR: ALL_CATEGORIES + 3,
}
FAILURES = ALL_CATEGORIES + 4
"""Places of the series in `Sums.series`: of all categories, of incidents by lowest severity, of failed orders. The place
of a category is its number less 1.
"""


@frozen
class Sums:
    """Sums of n cases: the last axis of each array is by case."""

    cases: int
    rate_damping: float
    exposure_scale: float
    series: Floats
    """Decaying sums, in units of today's weight, of shape (half-lives, FAILURES + 1, n).

    By severity weight the mass of incidents in each category and in all; incidents; failed orders.
    """
    orders: Floats
    """Settled orders, decayed, of shape (half-lives, n)."""
    ever: Floats
    """Incidents without decay, by lowest severity, of shape (FLOORS, n)."""
    recent: Floats
    worst: Floats
    days_since: Ints
    """Shape (SINCE, n)."""
    total_orders: Floats
    total_failures: Floats
    findings: Floats
    """Decayed counts, of shape (FINDING_HALF_LIVES, findings, n)."""
    tenure_days: Ints
    level: Floats

    def decayed(self, place: int, half_life: int) -> Floats:
        """Return one of `series` by case: `decayed(FAILURES, 90)` of failed orders, with a half-life of 90 days."""
        sums: Floats = self.series[HALF_LIVES.index(half_life), place]
        return sums

    def damped_orders(self, half_life: int) -> Floats:
        """Return decayed orders plus `rate_damping`, by case: what rates divide by, so that few orders look less grave."""
        damped: Floats = self.orders[HALF_LIVES.index(half_life)] + self.rate_damping
        return damped

    def map(self, change: Callable[[NDArray[Any]], NDArray[Any]], cases: int) -> "Sums":
        """Return the sums with each array changed; `cases`: their number afterwards."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {name: change(value) for name, value in values.items() if isinstance(value, np.ndarray)}
        return Sums(**values | changed | {"cases": cases})

    def without_conduct(self, n: int) -> "Sums":
        """Return the sums of the first n cases, without violations, failures and findings."""
        first = self.map(lambda values: values[..., :n], n)
        names = ("series", "ever", "recent", "worst", "total_failures", "findings")
        nothing = {name: np.zeros_like(getattr(first, name)) for name in names}
        return replace(first, **nothing, days_since=np.full_like(first.days_since, NEVER))


class Folder:
    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        tables = [np.array(decay_table(half_life), dtype=np.int64) for half_life in HALF_LIVES]
        shift = UNIT_BITS - EXPOSURE_BITS
        exposed = [(table + (1 << (shift - 1))) >> shift for table in tables]
        self._tables = _stack_tables(tables)
        self._finding_tables = _stack_tables([tables[HALF_LIVES.index(h)] for h in FINDING_HALF_LIVES])
        self._exposure_tables = _stack_tables(exposed)
        coarse = exposed[HALF_LIVES.index(max(HALF_LIVES))] >> (EXPOSURE_BITS - SQUARE_BITS)
        self._size_tables = _stack_tables([coarse * coarse, np.ones(RECENT_DAYS, dtype=np.int64)])
        self._severity_weights = np.array([0] + [constants.severity_weights[s] for s in Severity], dtype=np.int64)

    def fold(self, facts: Facts) -> Sums:
        return self.fold_views(view_at_one_time(facts))

    def fold_views(self, views: Views) -> Sums:
        """Return the sums of n sellers in K views: view k of seller i is case `k * n + i`."""
        cases = views.number * views.facts.cases
        (orders, failures), (total_orders, total_failures) = self._add_up_exposure(views)
        series = np.zeros((len(HALF_LIVES), FAILURES + 1, cases))
        series[:, FAILURES] = failures
        return Sums(
            cases=cases,
            rate_damping=self.constants.rate_damping,
            exposure_scale=self.constants.exposure_scale,
            series=series,
            orders=orders,
            **self._fold_violations(views, series),
            total_orders=total_orders,
            total_failures=total_failures,
            findings=self._fold_findings(views),
            tenure_days=views.tenure_days.ravel(),
            level=views.level.ravel().astype(np.float64),
        )

    def fold_orders(self, age: Ints, orders: Ints) -> tuple[Floats, Floats]:
        """Return (decayed orders, of shape (half-lives, n); all orders); `age`, (n, days): unseen below 1."""
        is_seen = age > 0
        weight = self._exposure_tables.take(age, axis=1, mode="clip") * is_seen
        return weight @ orders / float(1 << EXPOSURE_BITS), np.asarray(is_seen @ orders, dtype=np.float64)

    def _add_up_exposure(self, views: Views) -> tuple[Floats, Floats]:
        age, column = views.exposure_ages.table, views.exposure_ages.column
        weight = np.concatenate([self._exposure_tables.take(age, axis=1, mode="clip"), (age < NEVER)[None]])
        amounts = np.stack([views.exposure_orders, views.exposure_failures])
        sums = _add_up_views(weight, column, amounts, views.exposure_case, views.facts.cases)
        return sums[:, :-1] / float(1 << EXPOSURE_BITS), sums[:, -1]

    def _fold_findings(self, views: Views) -> Floats:
        n, findings = views.facts.cases, views.findings
        weight = self._finding_tables.take(views.finding_ages.table, axis=1, mode="clip")
        once = findings.finding == np.arange(1, len(FindingKind) + 1)[:, None]
        sums = _add_up_views(weight, views.finding_ages.column, once.astype(np.int64), findings.case, n)
        return sums.swapaxes(0, 1) / UNIT

    def effective_size_terms(self, facts: Facts, n: int) -> tuple[Floats, Floats]:
        """Return, for the first n cases, sums of orders times squared decay, and of orders of the last 365 days.

        They give Kish's effective number of orders. The decay is by the longest half-life, in steps of 2^-10.
        """
        count = int(np.searchsorted(facts.exposure_case, n))
        case, orders = facts.exposure_case[:count], facts.exposure_orders[:count]
        weight = self._size_tables.take(facts.observe_day[case] - facts.exposure_day[:count], axis=1, mode="clip")
        squares, recent = add_up(weight, np.arange(count), orders, case, n)
        return squares / float(1 << 2 * SQUARE_BITS), recent

    def _fold_violations(self, views: Views, series: Floats) -> dict[str, Any]:
        """Return the sums over violations; write those of `series` into it."""
        v, age, severity, n = views.violations, views.violation_ages.table, views.severity, views.facts.cases
        column, several, cases = views.violation_ages.column, len(HALF_LIVES), views.number * n
        if not len(v.case):
            return {
                "ever": np.zeros((len(FLOORS), cases)),
                "recent": np.zeros(cases),
                "worst": np.zeros(cases),
                "days_since": np.full((len(SINCE), cases), NEVER, dtype=np.int64),
            }
        weight = self._tables.take(age, axis=1, mode="clip")
        worth = self._severity_weights[severity][None]
        is_first, place = first_of_runs(v.case, v.incident, v.category), (v.category - 1) * n + v.case
        [masses] = _add_up_largest(weight, column, worth, is_first, place, len(Category) * n)
        by_category = masses.reshape(several, views.number, len(Category), n).swapaxes(1, 2)
        series[:, : len(Category)] = by_category.reshape(several, len(Category), cases) / UNIT
        worth = np.concatenate([worth, severity >= np.array(FLOORS)[:, None, None]])
        weight = np.concatenate([weight, [age < NEVER, age < RECENT_DAYS]])
        sums = _add_up_largest(weight, column, worth, first_of_runs(v.case, v.incident), v.case, n)
        places = [ALL_CATEGORIES, *(FLOOR_PLACES[floor] for floor in FLOORS)]
        series[:, places] = sums[:, :several].swapaxes(0, 1) / UNIT
        ever, recent = sums[1:, several:].swapaxes(0, 1)
        return {"ever": ever, "recent": recent[FLOORS.index(Severity.MINOR)], **_find_worst_and_latest(views)}


def _add_up_largest(weight: Ints, column: Ints, worth: Ints, is_first: Bools, place: Ints, places: int) -> Floats:
    """Return the sums over runs of the largest weight x worth of each, exact, of shape (P, tables, K x places).

    `weight`: of shape (tables, K, columns); `worth`: (P, K or 1, facts). `is_first`: the facts that begin a run.
    """
    tables, number, columns = weight.shape
    starts, run = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    is_odd = (column != column[starts][run]) | (worth != worth[:, :1]).any(axis=(0, 1))
    # Runs of unlike facts are compared fact by fact; of others any fact is the largest.
    is_mixed = reduce_runs(np.logical_or, is_odd, starts)
    amounts = reduce_runs(np.maximum, worth[:, 0], starts)
    column_of_run = np.tile(column[starts], (len(worth), 1))
    if is_mixed.any():
        facts, amounts = np.flatnonzero(is_mixed[run]), np.where(is_mixed, 1, amounts)
        worth_of_facts = np.broadcast_to(worth[..., facts], (len(worth), number, len(facts)))
        step = max(MIXED_CELLS // (tables * worth_of_facts[:, 0].size), 1)
        largest = [
            np.maximum.reduceat(
                weight[:, None, part, column[facts]] * worth_of_facts[:, part], np.flatnonzero(is_first[facts]), axis=-1
            )
            for part in (slice(first, first + step) for first in range(0, number, step))
        ]
        largest_columns = np.concatenate(largest, axis=2).swapaxes(1, 2).reshape(tables, number, -1)
        column_of_run[:, is_mixed] = np.arange(columns, columns + largest_columns.shape[-1]).reshape(len(worth), -1)
        weight = np.concatenate([weight, largest_columns], axis=-1)
    return _add_up_views(weight, column_of_run, amounts, place[starts], places)


def _find_worst_and_latest(views: Views) -> dict[str, Any]:
    """Return `worst` and `days_since` of `Sums`."""
    v, ages, n = views.violations, views.violation_ages, views.facts.cases
    order = np.lexsort((ages.column, v.case))
    case, column = v.case[order], ages.column[order]
    starts = np.flatnonzero(first_of_runs(case, column))
    severity = reduce_runs(np.maximum, views.severity[:, order], starts)
    case, age = case[starts], ages.table[:, column[starts]]
    severe = np.where(severity >= np.array(SINCE)[:, None, None], age, NEVER)
    worst = -_find_least_by_case(np.where(age < WORST_DAYS, -severity, 0), case, n, 0)
    days_since = _find_least_by_case(severe, case, n, NEVER).reshape(len(SINCE), -1)
    return {"worst": worst.ravel().astype(np.float64), "days_since": days_since}


def _stack_tables(tables: Sequence[Ints]) -> Ints:
    # The last column stays 0, for ages beyond the tables.
    stacked = np.zeros((len(tables), max(map(len, tables)) + 1), dtype=np.int64)
    for row, table in zip(stacked, tables, strict=True):
        row[: len(table)] = table
    return stacked


def _add_up_views(weight: Ints, column: Ints, amounts: Ints, place: Ints, places: int) -> Floats:
    """Return the sums of weights of shape (tables, K, columns): exact, of shape (P, tables, K x places).

    `amounts`: of shape (P, facts).
    """
    (tables, number, columns), kinds = weight.shape, len(amounts)
    of_kinds = np.arange(kinds)[:, None] * places + place
    column = np.broadcast_to(column, amounts.shape)
    weight = weight.reshape(tables * number, columns)
    sums = add_up(weight, column.ravel(), amounts.ravel(), of_kinds.ravel(), kinds * places)
    return sums.reshape(tables, number, kinds, places).transpose(2, 0, 1, 3).reshape(kinds, tables, number * places)


def _find_least_by_case(values: Ints, case: Ints, n: int, nothing: int) -> Ints:
    out = np.full((*values.shape[:-1], n), nothing, dtype=np.int64)
    starts = np.flatnonzero(first_of_runs(case))
    out[..., case[starts]] = np.minimum.reduceat(values, starts, axis=-1)
    return out
