"""Standing: points that confirmed violations add up to, easy to check by hand. More is worse.

A violation gives the points of its type and severity, else of its category, for `expiry_days`. The largest of one
incident and category counts; one incident gives at most `incident_cap`.
"""

from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Any

import numpy as np

from scoring.base.arrays import Ints, first_of_runs, reduce_runs
from scoring.base.enums import RATED_TIERS, Category, Severity, Tier
from scoring.base.frozen import frozen
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.facts import Facts
from scoring.features.violations import Violations


@frozen
class StandingTable:
    points: Mapping[Category, Mapping[Severity, int]]
    """Points of one violation by category, never fewer for a graver one."""
    expiry_days: int
    """Days for which a violation gives points, its own day included."""
    incident_cap: int
    at_most: Mapping[Tier, int]
    """By tier the lowest standing that limits a seller to it; rises as the tiers fall."""
    types: Mapping[int, Mapping[Severity, int]] = field(default_factory=dict)
    """Points by the number of a violation type, in place of its category's."""
    reset: str | None = None
    """Month and day on which earlier violations stop to count each year, as `01-31`; None: `expiry_days` alone."""

    def find_expiry(self, day: Any) -> Any:
        """Return the first day on which a violation of `day` gives no points; both days since 1970-01-01.

        Takes and returns a number or an array.
        """
        expiry = day + self.expiry_days
        return expiry if self.reset is None else np.minimum(expiry, self.find_reset_after(day))

    def find_reset_after(self, day: Any) -> Any:
        """Return the first yearly reset after a day, 1 January without `reset`; days since 1970-01-01, one or an array."""
        month, of_month = map(int, (self.reset or "01-01").split("-"))
        years = np.asarray(day, dtype="datetime64[D]").astype("datetime64[Y]")
        months = (years + 1).astype("datetime64[M]") + (month - 1)
        next_year = (months.astype("datetime64[D]") + (of_month - 1)).astype(np.int64)
        this_year = ((months - 12).astype("datetime64[D]") + (of_month - 1)).astype(np.int64)
        return np.where(this_year > day, this_year, next_year)

    def points_of(self, violation_type: int, category: int, severity: int) -> int:
        row = self.types.get(violation_type) or self.points[Category(category)]
        return row[Severity(severity)]

    @property
    def key(self) -> tuple[object, ...]:
        """Return what decides standings: tables with equal keys give equal ones."""
        return (self.points, self.types, self.expiry_days, self.incident_cap, self.reset)

    def best_tier(self, standing: int) -> Tier:
        """Return the best tier that a standing allows.

        With TRUSTED from 2 and STANDARD from 6: below 2 the best tier of all, from 2 to 5 TRUSTED, from 6 on STANDARD.
        """
        return min((tier for tier, least in self.at_most.items() if standing >= least), default=RATED_TIERS[-1])

    def by_case(self, violations: Violations, age: Ints, severity: Ints, cases: int) -> Ints:
        """Return the standing of each case, int64 of shape (..., cases).

        `age`, shape (..., violations): whole days since each violation, NEVER if unseen; an expired one gives no points.
        `severity`, of a shape that fits: as raised.
        """
        v = violations
        standing = np.zeros((*age.shape[:-1], cases), dtype=np.int64)
        if not len(v.case):
            return standing
        points_by_severity = _tabulate_points(self.points, len(Category))[v.category, severity]
        if self.types:
            points_by_type = _tabulate_points(self.types, len(TYPE_NUMBERS), -1)[v.violation_type, severity]
            points_by_severity = np.where(points_by_type >= 0, points_by_type, points_by_severity)
        points = np.where(age < self.find_expiry(v.day) - v.day, points_by_severity, 0)
        first = np.flatnonzero(first_of_runs(v.case, v.incident))
        by_category = np.flatnonzero(first_of_runs(v.case, v.incident, v.category))
        largest = reduce_runs(np.maximum, points, by_category)
        sums = np.minimum(reduce_runs(np.add, largest, np.searchsorted(by_category, first)), self.incident_cap)
        case = v.case[first]
        starts = np.flatnonzero(first_of_runs(case))
        standing[..., case[starts]] = reduce_runs(np.add, sums, starts)
        return standing

    def add_up(
        self, facts: Facts, cases: int | None = None, categories: Collection[Category] = frozenset(Category)
    ) -> Ints:
        """Return the standing of each case, or of the first `cases`, by some categories; int64 of shape (cases,).

        Worked: counterfeit gives 1, 4, 12, 24 by severity, disclosure 1, 1, 2, 4, an incident at most 24, for 365 days.
        A critical counterfeit with a moderate disclosure gives 24, a major counterfeit 364 days ago 12, one 365 days
        ago nothing: 36.
        """
        cases = facts.cases if cases is None else cases
        chosen = facts.violations.take(slice(0, int(np.searchsorted(facts.violations.case, cases))))
        if len(categories) < len(Category):
            chosen = chosen.take(np.isin(chosen.category, [*categories]))
        return self.by_case(chosen, facts.observe_day[chosen.case] - chosen.day, chosen.severity, cases)

    def bound(self, tiers: Ints, standing: Ints) -> Ints:
        """Lower each tier to the best one that its standing allows; return the tiers.

        Both arrays have shape (n,); tiers are numbers of rated ones.
        """
        falling = sorted(self.at_most.items(), key=lambda item: -item[0])
        best = np.full(len(standing), int(RATED_TIERS[-1]), dtype=np.int64)
        for tier, least in falling:
            best = np.where(standing >= least, int(tier), best)
        return np.minimum(tiers, best)


def _tabulate_points(
    points_by_number: Mapping[Any, Mapping[Severity, int]], last_number: int, default: int = 0
) -> Ints:
    table = np.full((last_number + 1, len(Severity) + 1), default, dtype=np.int64)
    for number, by_severity in points_by_number.items():
        for severity, points in by_severity.items():
            table[number, severity] = points
    return table
