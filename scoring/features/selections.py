"""Sums of many selections of one seller's incidents, from the sums of each incident, without a fold per selection.

A selection contains an incident fully or not at all, and sums are whole numbers of 2^-40, so all are exact. Worst
severity and days since take the extreme. Worked: incidents of mass 3, 9 and 27 sum to 39; without the second 30.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from scoring.base.arrays import NEVER, Ints, first_of_runs
from scoring.features.decay import HALF_LIVES, UNIT, join_limbs, split_limbs
from scoring.features.facts import Facts
from scoring.features.fold import FAILURES, SINCE, Folder, Sums

PART = 4_096
"""Selections per part of the inputs: about 10 MB."""


@dataclass(frozen=True, slots=True)
class IncidentSums:
    high: Ints
    """Masses in 2^-40 above the lowest 24 bits; shape (n, masses)."""
    low: Ints
    """The lowest 24 bits of the masses, so no sum wraps."""
    counts: Ints
    """Incidents of each lowest severity, and recent ones; shape (n, 4)."""
    worst: Ints
    """The worst recent severity, or 0; shape (n, 1)."""
    days_since: Ints
    """Days since the last incident, and since the last major one, or NEVER; shape (n, 2)."""

    def __len__(self) -> int:
        return len(self.high)

    def of_subsets(self, group: Ints, groups: int) -> "IncidentSums":
        """Return the sums of every subset of groups of incidents: 2^groups selections.

        `group`: of each incident. Selection s has the groups whose bits are set in s.
        """
        bits = np.arange(1 << groups)[:, None] >> np.arange(groups) & 1
        width = 2 * self.high.shape[1] + self.counts.shape[1]
        added, worst = (np.zeros((groups, columns), dtype=np.int64) for columns in (width, 1))
        days_since = np.full((groups, len(SINCE)), NEVER, dtype=np.int64)
        np.add.at(added, group, np.hstack([self.high, self.low, self.counts]))
        np.maximum.at(worst, group, self.worst)
        np.minimum.at(days_since, group, self.days_since)
        chosen = bits[:, :, None] > 0
        high, low, counts = np.split(bits @ added, [self.high.shape[1], 2 * self.high.shape[1]], axis=1)
        return IncidentSums(
            high=high,
            low=low,
            counts=counts,
            worst=np.where(chosen, worst, 0).max(axis=1, initial=0),
            days_since=np.where(chosen, days_since, NEVER).min(axis=1, initial=NEVER),
        )

    def without_each(self) -> "IncidentSums":
        """Return, from incidents alone, the selections of all others, in the same order."""
        return IncidentSums(
            high=self.high.sum(axis=0) - self.high,
            low=self.low.sum(axis=0) - self.low,
            counts=self.counts.sum(axis=0) - self.counts,
            worst=_find_largest_of_others(self.worst, 0),
            days_since=-_find_largest_of_others(-self.days_since, -NEVER),
        )

    def parts(self) -> Iterator["IncidentSums"]:
        """Yield the selections in order, at most PART at once."""
        for begin in range(0, len(self), PART):
            yield IncidentSums(*(getattr(self, f.name)[begin : begin + PART] for f in fields(self)))

    def joined_with(self, history: Sums) -> Sums:
        """Return the sums of the selections, with all else from `history`, the sums of one case."""
        n = len(self)
        joined = history.map(lambda values: np.repeat(values, n, axis=-1), n)
        masses = join_limbs((self.high, self.low)) / UNIT
        joined.series[:, :FAILURES] = masses.T.reshape(len(HALF_LIVES), FAILURES, n)
        *ever, recent = self.counts.T.astype(np.float64)
        return replace(
            joined,
            ever=np.array(ever),
            recent=recent,
            worst=self.worst[:, 0].astype(np.float64),
            days_since=self.days_since.T,
        )


def fold_each_incident(facts: Facts, folder: Folder) -> tuple[IncidentSums, Sums]:
    """Return (sums of each incident alone, sums without any incident) of a single case."""
    v = facts.violations
    history = folder.fold(replace(facts, violations=v.take(slice(0))))
    is_first = first_of_runs(v.incident)
    cases = int(is_first.sum())
    alone = replace(
        facts,
        cases=cases,
        violations=replace(v, case=np.cumsum(is_first) - 1),
        observe_day=np.repeat(facts.observe_day, cases),
        start_day=np.repeat(facts.start_day, cases),
        level=np.repeat(facts.level, cases),
        exposure_case=facts.exposure_case[:0],  # the history has exposure and findings
        exposure_day=facts.exposure_day[:0],
        exposure_orders=facts.exposure_orders[:0],
        exposure_failures=facts.exposure_failures[:0],
        findings=facts.findings.take(slice(0)),
    )
    sums = folder.fold(alone)
    masses = sums.series[:, :FAILURES].reshape(len(HALF_LIVES) * FAILURES, cases).T
    whole = (masses * UNIT).astype(np.int64)  # exact: one incident weighs less than 2^46
    each = IncidentSums(
        *split_limbs(whole),
        counts=np.column_stack([*sums.ever, sums.recent]).astype(np.int64),
        worst=sums.worst.astype(np.int64)[:, None],
        days_since=sums.days_since.T,
    )
    return each, history


def _find_largest_of_others(values: Ints, nothing: int) -> Ints:
    if len(values) < 2:
        return np.full_like(values, nothing)
    second, first = np.partition(values, len(values) - 2, axis=0)[-2:]
    largest: Ints = np.where(values == first, second, first)
    return largest
