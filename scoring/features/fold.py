"""The fold: from facts to exact integer sums, vectorised over cases.

Per incident, category and half-life the largest severity weight x decay counts. So one incident counts once, and a
confirmation moves no sum between categories or dates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import NEVER, Floats, Ints, first_of_runs
from scoring.base.enums import Category, Severity
from scoring.features.decay import EXPOSURE_BITS, HALF_LIVES, UNIT, UNIT_BITS, decay_table, exact_sums, sum_by_case
from scoring.features.facts import Facts
from scoring.features.findings import Finding
from scoring.features.views import Views, view_once

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

SMALL = 4_096
"""Up to so many ages, all half-lives are folded at once, else one by one."""


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants that an artifact pins: severity weights (1 to 63), damping of rates, scale of exposure."""

    severity_weights: Mapping[Severity, int]
    rate_damping: float = 50.0
    exposure_scale: float = 1000.0


DEFAULT_WEIGHTS = {Severity.MINOR: 1, Severity.MODERATE: 3, Severity.MAJOR: 9, Severity.CRITICAL: 27}


@dataclass(frozen=True, slots=True)
class Sums:
    """Arrays of shape (cases,); `category_mass` (cases, categories).

    Masses are in units of today's weight. `ever` (without decay) and `days_since`: by severity floor. `findings`: by
    half-life, decayed counts of each `Finding`, (cases, findings).
    """

    cases: int
    rate_damping: float
    exposure_scale: float
    category_mass: Mapping[int, Floats]
    weighted_mass: Mapping[int, Floats]
    incident_mass: Mapping[tuple[Severity, int], Floats]
    ever: Mapping[Severity, Floats]
    recent: Floats
    worst: Floats
    days_since: Mapping[Severity, Ints]
    orders: Mapping[int, Floats]
    failures: Mapping[int, Floats]
    total_orders: Floats
    total_failures: Floats
    findings: Mapping[int, Floats]
    tenure_days: Ints
    level: Floats

    def map(self, change: Callable[[NDArray[Any]], NDArray[Any]], **others: Any) -> "Sums":
        """Return the sums with each array changed along its cases; `others`: fields that are given."""
        values: dict[str, Any] = {}
        for name in (f.name for f in fields(self) if f.name not in others):
            value = getattr(self, name)
            if isinstance(value, Mapping):
                values[name] = {key: change(array) for key, array in value.items()}
            else:
                values[name] = change(value) if isinstance(value, np.ndarray) else value
        return Sums(**values, **others)

    def without_conduct(self, n: int) -> "Sums":
        """Return the sums of the first n cases without violations, failed orders, inspections and disputes."""
        nothing = np.zeros(n)
        return self.map(
            lambda values: values[:n],
            cases=n,
            **_no_violations(n),
            failures=dict.fromkeys(HALF_LIVES, nothing),
            total_failures=nothing,
            findings=dict.fromkeys(FINDING_HALF_LIVES, np.zeros((n, len(Finding)))),
        )

    @property
    def incidents(self) -> Floats:
        return self.ever[Severity.MINOR]


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
        return self.fold_views(view_once(facts))

    def fold_views(self, views: Views) -> Sums:
        """Return the sums of n sellers in K views: view k of seller i is case `k * n + i`."""
        return Sums(
            cases=views.number * views.facts.cases,
            rate_damping=self.constants.rate_damping,
            exposure_scale=self.constants.exposure_scale,
            **self._violations(views),
            **self._exposure(views),
            findings=self._findings(views),
            tenure_days=views.tenure_days.ravel(),
            level=views.level.ravel().astype(np.float64),
        )

    def _exposure(self, views: Views) -> dict[str, Any]:
        age, case, n = views.exposure_age, views.exposure_case, views.facts.cases
        weight, seen = self._exposure_tables.take(age, axis=1, mode="clip"), age < NEVER
        found: dict[str, Any] = {}
        for name, amounts in (("orders", views.exposure_orders), ("failures", views.exposure_failures)):
            sums = sum_by_case(weight, amounts, case, n, EXPOSURE_BITS) / float(1 << EXPOSURE_BITS)
            found[name] = {h: sums[place].ravel() for place, h in enumerate(HALF_LIVES)}
            found[f"total_{name}"] = sum_by_case(seen, amounts, case, n, 0).ravel()
        return found

    def _findings(self, views: Views) -> dict[int, Floats]:
        """Return the decayed counts of findings by half-life, shape (cases, findings)."""
        cases = views.number * views.facts.cases
        if not len(views.findings.case):
            return dict.fromkeys(FINDING_HALF_LIVES, np.zeros((cases, len(Finding))))
        weight = self._finding_tables.take(views.finding_age, axis=1, mode="clip")
        slot = views.findings.case * len(Finding) + views.findings.finding - 1
        found = _sum_by_slot(weight, slot, views.facts.cases * len(Finding)) / UNIT
        return {h: found[place].reshape(cases, len(Finding)) for place, h in enumerate(FINDING_HALF_LIVES)}

    def effective_size_terms(self, facts: Facts, n: int) -> tuple[Floats, Floats]:
        """Return, for the first n cases, sums of orders times squared decay, and of orders of the last 365 days.

        The decay is by the longest half-life, in steps of 2^-10.
        """
        count = int(np.searchsorted(facts.exposure_case, n))
        case, orders = facts.exposure_case[:count], facts.exposure_orders[:count]
        weight = self._size_tables.take(facts.observe_day[case] - facts.exposure_day[:count], axis=1, mode="clip")
        squares, recent = sum_by_case(weight, orders, case, n, 2 * SQUARE_BITS)
        return squares / float(1 << 2 * SQUARE_BITS), recent

    def _violations(self, views: Views) -> dict[str, Any]:
        v, age, severity, n = views.violations, views.violation_age, views.severity, views.facts.cases
        cases = len(age) * n
        if not len(v.case):
            return _no_violations(cases)
        by_incident = np.flatnonzero(first_of_runs(v.case, v.incident))
        by_category = np.flatnonzero(first_of_runs(v.case, v.incident, v.category))
        incident_case = v.case[by_incident]
        category_slot = v.case[by_category] * len(Category) + v.category[by_category] - 1
        floors = severity >= np.array(FLOORS)[:, None, None]

        category_mass: dict[int, Floats] = {}
        weighted_mass: dict[int, Floats] = {}
        incident_mass: dict[tuple[Severity, int], Floats] = {}
        step = len(HALF_LIVES) if age.size < SMALL else 1
        for first in range(0, len(HALF_LIVES), step):
            half_lives = HALF_LIVES[first : first + step]
            weight = self._tables[first : first + step].take(age, axis=1, mode="clip")
            mass = weight * self._severity_weights[severity]
            largest = np.maximum.reduceat(mass, by_category, axis=-1)
            sums = _sum_by_slot(largest, category_slot, n * len(Category)) / UNIT
            counted = np.stack([mass, *(weight * floor for floor in floors)])
            masses = sum_by_case(np.maximum.reduceat(counted, by_incident, axis=-1), None, incident_case, n, MASS_BITS)
            masses = masses.reshape(*masses.shape[:2], cases) / UNIT
            for place, h in enumerate(half_lives):
                category_mass[h] = sums[place].reshape(cases, len(Category))
                weighted_mass[h] = masses[0, place]
                incident_mass |= {(floor, h): masses[1 + k, place] for k, floor in enumerate(FLOORS)}

        seen = age < NEVER
        flags = np.stack([*(floors & seen), age < RECENT_DAYS])
        counts = sum_by_case(np.logical_or.reduceat(flags, by_incident, axis=-1), None, incident_case, n, 0)
        *ever, recent = counts.reshape(len(flags), cases)
        severe = np.where(severity >= np.array(SINCE)[:, None, None], age, NEVER)
        days_since = _least_by_case(severe, v.case, n, NEVER).reshape(len(SINCE), cases)
        worst = -_least_by_case(np.where(age < WORST_DAYS, -severity, 0), v.case, n, 0)
        return {
            "category_mass": category_mass,
            "weighted_mass": weighted_mass,
            "incident_mass": incident_mass,
            "ever": dict(zip(FLOORS, ever, strict=True)),
            "recent": recent,
            "worst": worst.ravel().astype(np.float64),
            "days_since": dict(zip(SINCE, days_since, strict=True)),
        }


def _no_violations(cases: int) -> dict[str, Any]:
    nothing, never = np.zeros(cases), np.full(cases, NEVER, dtype=np.int64)
    return {
        "category_mass": dict.fromkeys(HALF_LIVES, np.zeros((cases, len(Category)))),
        "weighted_mass": dict.fromkeys(HALF_LIVES, nothing),
        "incident_mass": {(floor, h): nothing for h in HALF_LIVES for floor in FLOORS},
        "ever": dict.fromkeys(FLOORS, nothing),
        "recent": nothing,
        "worst": nothing,
        "days_since": dict.fromkeys(SINCE, never),
    }


def _stack_tables(tables: Sequence[Ints]) -> Ints:
    """Return tables by age as rows of one array; the last column, for all higher ages, is 0."""
    stacked = np.zeros((len(tables), max(map(len, tables)) + 1), dtype=np.int64)
    for row, table in zip(stacked, tables, strict=True):
        row[: len(table)] = table
    return stacked


def _sum_by_slot(values: Ints, slot: Ints, slots: int) -> Floats:
    """Return the exact sums, shape (P, K x slots), of `values`, shape (P, K, facts), by slot."""
    rows = values.shape[0] * values.shape[1]
    group = np.arange(rows)[:, None] * slots + slot
    return exact_sums(values.ravel(), group.ravel(), rows * slots).reshape(len(values), -1)


def _least_by_case(values: Ints, case: Ints, n: int, nothing: int) -> Ints:
    """Return the least of `values`, shape (..., facts), by sorted case; `nothing` if a case has no facts."""
    out = np.full((*values.shape[:-1], n), nothing, dtype=np.int64)
    starts = np.flatnonzero(first_of_runs(case))
    out[..., case[starts]] = np.minimum.reduceat(values, starts, axis=-1)
    return out
