"""The fold: from facts to exact integer sums, vectorised over cases.

Per incident, category and half-life the largest severity weight x decay counts. So one incident counts once, and a
confirmation moves no sum between categories or dates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import NEVER, Floats, Ints, first_of_runs, reduce_runs
from scoring.base.enums import Category, Severity
from scoring.features.decay import EXPOSURE_BITS, HALF_LIVES, UNIT, UNIT_BITS, decay_table, exact_sums, sum_by_case
from scoring.features.facts import Facts
from scoring.features.findings import Finding
from scoring.features.views import Views, view_at_one_time

FLOORS = (Severity.MINOR, Severity.MODERATE, Severity.MAJOR)
"""Lowest severities for counts of incidents."""

SINCE = (Severity.MINOR, Severity.MAJOR)
"""Lowest severities for days since the last violation."""

FINDING_HALF_LIVES = (90, 365)
"""In days; inspections are rare."""

WORST_DAYS = 730
RECENT_DAYS = 365

MASS_BITS = UNIT_BITS + 6
"""A mass is at most 2^46: a severity weighs at most 63."""

SQUARE_BITS = 10
"""Weights are squared in steps of 2^-10."""

CACHED = 60000
"""Folded at once, to stay in the processor's cache."""

SMALL = 4_096
"""Up to so many ages, all half-lives are folded at once, else one by one."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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
        found: Floats = self.series[HALF_LIVES.index(half_life), place]
        return found

    def damped_orders(self, half_life: int) -> Floats:
        """Return the decayed orders plus `rate_damping`, which rates divide by."""
        found: Floats = self.orders[HALF_LIVES.index(half_life)] + self.rate_damping
        return found

    def map(self, change: Callable[[NDArray[Any]], NDArray[Any]], cases: int) -> "Sums":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {name: change(value) for name, value in values.items() if isinstance(value, np.ndarray)}
        return Sums(**values | changed | {"cases": cases})

    def without_conduct(self, n: int) -> "Sums":
        """Return the sums of the first n cases without any conduct."""
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

    def _add_up_exposure(self, views: Views) -> tuple[Floats, Floats]:
        """Return orders and failures, decayed, of shape (2, half-lives, cases), and in all, of shape (2, cases)."""
        age, case, n = views.exposure_age, views.exposure_case, views.facts.cases
        decayed, total = np.empty((2, len(HALF_LIVES), len(age), n)), np.empty((2, len(age), n))
        step = max(CACHED // max(len(case), 1), 1)
        for first in range(0, len(age), step):
            part = slice(first, first + step)
            weight, is_seen = self._exposure_tables.take(age[part], axis=1, mode="clip"), age[part] < NEVER
            for place, amounts in enumerate((views.exposure_orders, views.exposure_failures)):
                decayed[place, :, part] = sum_by_case(weight, amounts, case, n, EXPOSURE_BITS)
                total[place, part] = sum_by_case(is_seen, amounts, case, n, 0)
        decayed /= float(1 << EXPOSURE_BITS)
        return decayed.reshape(2, len(HALF_LIVES), -1), total.reshape(2, -1)

    def _fold_findings(self, views: Views) -> Floats:
        n = views.facts.cases
        shape = (len(FINDING_HALF_LIVES), len(Finding), views.number * n)
        if not len(views.findings.case):
            return np.zeros(shape)
        weight = self._finding_tables.take(views.finding_age, axis=1, mode="clip")
        return _sum_by_place(weight, views.findings.finding - 1, len(Finding), views.findings.case, n).reshape(shape)

    def effective_size_terms(self, facts: Facts, n: int) -> tuple[Floats, Floats]:
        """Return, for the first n cases, sums of orders times squared decay, and of orders of the last 365 days.

        They give Kish's effective number of orders. The decay is by the longest half-life, in steps of 2^-10.
        """
        count = int(np.searchsorted(facts.exposure_case, n))
        case, orders = facts.exposure_case[:count], facts.exposure_orders[:count]
        weight = self._size_tables.take(facts.observe_day[case] - facts.exposure_day[:count], axis=1, mode="clip")
        squares, recent = sum_by_case(weight, orders, case, n, 2 * SQUARE_BITS)
        return squares / float(1 << 2 * SQUARE_BITS), recent

    def _fold_violations(self, views: Views, series: Floats) -> dict[str, Any]:
        """Fill in the series of masses and incidents; return the sums without decay by name."""
        v, age, severity, n = views.violations, views.violation_age, views.severity, views.facts.cases
        cases = len(age) * n
        if not len(v.case):
            return {
                "ever": np.zeros((len(FLOORS), cases)),
                "recent": np.zeros(cases),
                "worst": np.zeros(cases),
                "days_since": np.full((len(SINCE), cases), NEVER, dtype=np.int64),
            }
        by_incident = np.flatnonzero(first_of_runs(v.case, v.incident))
        by_category = np.flatnonzero(first_of_runs(v.case, v.incident, v.category))
        incident_case = v.case[by_incident]
        floors = severity >= np.array(FLOORS)[:, None, None]
        places = [ALL_CATEGORIES, *(FLOOR_PLACES[floor] for floor in FLOORS)]
        step = len(HALF_LIVES) if age.size < SMALL else 1
        for first in range(0, len(HALF_LIVES), step):
            weight = self._tables[first : first + step].take(age, axis=1, mode="clip")
            mass = weight * self._severity_weights[severity]
            largest = reduce_runs(np.maximum, mass, by_category)
            category, case = v.category[by_category] - 1, v.case[by_category]
            part = series[first : first + step]
            part[:, : len(Category)] = _sum_by_place(largest, category, len(Category), case, n)
            counted = np.stack([mass, *(weight * floor for floor in floors)], axis=1)
            masses = sum_by_case(reduce_runs(np.maximum, counted, by_incident), None, incident_case, n, MASS_BITS)
            part[:, places] = masses.reshape(*masses.shape[:2], cases) / UNIT

        flags = np.stack([*(floors & (age < NEVER)), age < RECENT_DAYS])
        counts = sum_by_case(reduce_runs(np.logical_or, flags, by_incident), None, incident_case, n, 0)
        counts = counts.reshape(len(flags), cases)
        severe = np.where(severity >= np.array(SINCE)[:, None, None], age, NEVER)
        worst = -_least_by_case(np.where(age < WORST_DAYS, -severity, 0), v.case, n, 0)
        return {
            "ever": counts[:-1],
            "recent": counts[-1],
            "worst": worst.ravel().astype(np.float64),
            "days_since": _least_by_case(severe, v.case, n, NEVER).reshape(len(SINCE), cases),
        }


def _stack_tables(tables: Sequence[Ints]) -> Ints:
    """Return rows of one array; the last column, for all higher ages, is 0."""
    stacked = np.zeros((len(tables), max(map(len, tables)) + 1), dtype=np.int64)
    for row, table in zip(stacked, tables, strict=True):
        row[: len(table)] = table
    return stacked


def _sum_by_place(values: Ints, place: Ints, places: int, case: Ints, n: int) -> Floats:
    """Return the sums of weights, shape (P, K, facts), by place and case: exact, shape (P, places, K x n)."""
    rows = values.shape[0] * values.shape[1]
    slots = np.arange(rows)[:, None] * (places * n) + place * n + case
    sums = exact_sums(values.ravel(), slots.ravel(), rows * places * n) / UNIT
    return sums.reshape(*values.shape[:2], places, n).swapaxes(1, 2).reshape(len(values), places, -1)


def _least_by_case(values: Ints, case: Ints, n: int, nothing: int) -> Ints:
    """Return the least of `values`, shape (..., facts), by sorted case; `nothing` for an empty case."""
    out = np.full((*values.shape[:-1], n), nothing, dtype=np.int64)
    starts = np.flatnonzero(first_of_runs(case))
    out[..., case[starts]] = np.minimum.reduceat(values, starts, axis=-1)
    return out
