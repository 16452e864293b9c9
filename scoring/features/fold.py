"""The fold: from facts to sums, exact, vectorised over cases. One seller is the batch of one.

Per incident, category and half-life the largest severity weight x decay counts, so one incident counts once and a
confirmation moves nothing between categories or dates. All sums are of integers (see `scoring.features.decay`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import NEVER, Floats, Ints, first_of_runs
from scoring.enums import Category, Severity
from scoring.features.decay import EXPOSURE_BITS, HALF_LIVES, UNIT, UNIT_BITS, decay_table, exact_sums, weights
from scoring.features.facts import Facts, Violations
from scoring.features.findings import Finding

FLOORS = (Severity.MINOR, Severity.MODERATE, Severity.MAJOR)
"""Severities from which incidents are counted."""

FINDING_HALF_LIVES = (90, 365)
"""Half-lives by which findings count, in days: inspections are rare."""

WORST_DAYS = 730
RECENT_DAYS = 365


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants of the fold that an artifact pins: severity weights (1 to 63), damping of rates, scale of exposure."""

    severity_weights: Mapping[Severity, int]
    rate_damping: float = 50.0
    exposure_scale: float = 1000.0
    decay: Mapping[int, tuple[int, ...]] | None = None

    def table(self, half_life: int) -> Ints:
        """Return the decay table of a half-life, int64."""
        source = self.decay[half_life] if self.decay is not None else decay_table(half_life)
        return np.array(source, dtype=np.int64)


DEFAULT_WEIGHTS = {Severity.MINOR: 1, Severity.MODERATE: 3, Severity.MAJOR: 9, Severity.CRITICAL: 27}


@dataclass(frozen=True, slots=True)
class ExposureSums:
    """Exposure by case, float64 of shape (cases,): orders and failures by half-life (decayed), all of both (not)."""

    orders: Mapping[int, Floats]
    failures: Mapping[int, Floats]
    total_orders: Floats
    total_failures: Floats

    def tile(self, times: int) -> "ExposureSums":
        """Return the sums of `times` copies of the cases, copy after copy."""
        return ExposureSums(
            {h: np.tile(v, times) for h, v in self.orders.items()},
            {h: np.tile(v, times) for h, v in self.failures.items()},
            np.tile(self.total_orders, times),
            np.tile(self.total_failures, times),
        )


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums from which features are computed; arrays of shape (cases,), `category_mass` (cases, categories).

    Masses are in units of today's weight: an incident of weight 1 today has mass 1. `ever`: incidents without decay, and
    `days_since`, by severity floor. `findings`: by half-life decayed numbers of each `Finding`, (cases, findings).
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

    @property
    def incidents(self) -> Floats:
        """Return the number of incidents of each case, without decay."""
        return self.ever[Severity.MINOR]


class Folder:
    """Folds facts under one artifact's constants; holds the decay tables as arrays."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self._tables = {half_life: constants.table(half_life) for half_life in HALF_LIVES}
        shift = UNIT_BITS - EXPOSURE_BITS
        self._exposure_tables = {h: (t + (1 << (shift - 1))) >> shift for h, t in self._tables.items()}
        self._severity_weights = np.array([0] + [constants.severity_weights[s] for s in Severity], dtype=np.int64)

    def fold(self, facts: Facts, exposure: ExposureSums | None = None) -> Sums:
        """Fold the facts of every case; `exposure` may be given if it is known (same exposure, other violations)."""
        exposure = exposure or self.exposure(facts)
        sums = self._violations(facts.violations, facts.observe_day, facts.cases)
        return replace(
            sums,
            orders=exposure.orders,
            failures=exposure.failures,
            total_orders=exposure.total_orders,
            total_failures=exposure.total_failures,
            findings=self._findings(facts),
            tenure_days=facts.observe_day - facts.start_day,
            level=facts.level.astype(np.float64),
        )

    def exposure(self, facts: Facts) -> ExposureSums:
        """Fold the exposure of every case: decayed orders and failures by half-life, and all of both."""
        case, cases = facts.exposure_case, facts.cases
        age = facts.observe_day[case] - facts.exposure_day
        orders, failures = {}, {}
        for half_life, table in self._exposure_tables.items():
            weight = weights(table, age)
            orders[half_life] = exact_sums(weight * facts.exposure_orders, case, cases) / float(1 << EXPOSURE_BITS)
            failures[half_life] = exact_sums(weight * facts.exposure_failures, case, cases) / float(1 << EXPOSURE_BITS)
        totals = (exact_sums(values, case, cases) for values in (facts.exposure_orders, facts.exposure_failures))
        return ExposureSums(orders, failures, *totals)

    def _findings(self, facts: Facts) -> dict[int, Floats]:
        """Fold the findings: decayed numbers by half-life, shape (cases, findings); one array for all if there are none."""
        if not len(facts.finding):
            return dict.fromkeys(FINDING_HALF_LIVES, np.zeros((facts.cases, len(Finding))))
        age = facts.observe_day[facts.finding_case] - facts.finding_day
        slot = facts.finding_case * len(Finding) + facts.finding - 1
        found = {
            h: exact_sums(weights(self._tables[h], age), slot, facts.cases * len(Finding)) for h in FINDING_HALF_LIVES
        }
        return {h: sums.reshape(facts.cases, len(Finding)) / UNIT for h, sums in found.items()}

    def effective_size_terms(self, facts: Facts, n: int) -> tuple[Floats, Floats]:
        """Compute the terms of the effective sample size of the first n cases.

        They are the sum over orders of decay squared, by the longest half-life, in steps of 2^-10 of a weight; and the
        orders of the last 365 days.
        """
        count = int(np.searchsorted(facts.exposure_case, n))
        case, orders = facts.exposure_case[:count], facts.exposure_orders[:count]
        age = facts.observe_day[case] - facts.exposure_day[:count]
        weight = weights(self._exposure_tables[max(HALF_LIVES)], age) >> (EXPOSURE_BITS - 10)
        squares = exact_sums(weight * weight * orders, case, n) / float(1 << 20)
        return squares, exact_sums(np.where(age < RECENT_DAYS, orders, 0), case, n)

    def _violations(self, v: Violations, observe_day: Ints, cases: int) -> Sums:
        age = observe_day[v.case] - v.day
        by_incident = np.flatnonzero(first_of_runs(v.case, v.incident))
        by_category = np.flatnonzero(first_of_runs(v.case, v.incident, v.category))
        incident_case = v.case[by_incident]
        category_slot = v.case[by_category] * len(Category) + v.category[by_category] - 1

        category_mass, weighted_mass, incident_mass = {}, {}, {}
        for half_life, table in self._tables.items():
            weight = weights(table, age)
            mass = self._severity_weights[v.severity] * weight
            largest = _largest(mass, by_category)
            sums = exact_sums(largest, category_slot, cases * len(Category)) / UNIT
            category_mass[half_life] = sums.reshape(cases, len(Category))
            weighted_mass[half_life] = exact_sums(_largest(mass, by_incident), incident_case, cases) / UNIT
            for floor in FLOORS:
                counted = _largest(np.where(v.severity >= floor, weight, 0), by_incident)
                incident_mass[floor, half_life] = exact_sums(counted, incident_case, cases) / UNIT

        ever = {
            floor: exact_sums(_largest((v.severity >= floor).astype(np.int64), by_incident), incident_case, cases)
            for floor in FLOORS
        }
        youngest = -_largest(-age, by_incident)
        days_since = {floor: np.full(cases, NEVER, dtype=np.int64) for floor in (Severity.MINOR, Severity.MAJOR)}
        for floor, days in days_since.items():
            severe = v.severity >= floor
            np.minimum.at(days, v.case[severe], age[severe])
        worst = np.zeros(cases, dtype=np.int64)
        lately = age < WORST_DAYS
        np.maximum.at(worst, v.case[lately], v.severity[lately])
        nothing = np.zeros(cases)
        return Sums(
            cases=cases,
            rate_damping=self.constants.rate_damping,
            exposure_scale=self.constants.exposure_scale,
            category_mass=category_mass,
            weighted_mass=weighted_mass,
            incident_mass=incident_mass,
            ever=ever,
            recent=np.bincount(incident_case[youngest < RECENT_DAYS], minlength=cases).astype(np.float64),
            worst=worst.astype(np.float64),
            days_since=days_since,
            orders={},
            failures={},
            total_orders=nothing,
            total_failures=nothing,
            findings={},
            tenure_days=np.zeros(cases, dtype=np.int64),
            level=nothing,
        )


def _largest(values: Ints, starts: Ints | NDArray[np.intp]) -> Ints:
    """Return the largest value of each run that begins at `starts`."""
    return np.maximum.reduceat(values, starts) if len(starts) else values
