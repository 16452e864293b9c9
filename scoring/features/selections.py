"""Sums of many selections of one seller's incidents, from the sums of each incident, without a fold per selection.

A selection contains an incident fully or not at all, and sums are whole numbers of 2^-40, so all are exact.
"""

from dataclasses import replace

import numpy as np

from scoring.base.arrays import NEVER, Ints, first_of_runs
from scoring.base.frozen import frozen
from scoring.features.decay import HALF_LIVES, UNIT, join_limbs, split_limbs
from scoring.features.facts import Facts
from scoring.features.fold import FAILURES, Folder, Sums

MASSES = len(HALF_LIVES) * FAILURES
NONE_LEAST = np.array([0, NEVER, NEVER])
"""`IncidentSums.least` without an incident."""


@frozen
class IncidentSums:
    """Of n selections; no sum wraps."""

    added: Ints
    """Masses in 2^-40 without their lowest 24 bits; these bits; incidents by lowest severity; recent ones; shape (n, 2 x
    MASSES + 4).
    """
    least: Ints
    """Minus the worst recent severity, and days since the last incident and the last major one; shape (n, 3)."""

    def of_subsets(self, group: Ints, groups: int) -> "IncidentSums":
        """Return the sums of every subset of groups of incidents: 2^groups selections.

        `group`: of each incident. Selection s has the groups whose bits are set in s.
        """
        chosen = np.arange(1 << groups)[:, None] >> np.arange(groups) & 1
        added, least = np.zeros((groups, self.added.shape[1]), dtype=np.int64), np.tile(NONE_LEAST, (groups, 1))
        np.add.at(added, group, self.added)
        np.minimum.at(least, group, self.least)
        of_chosen = np.where(chosen[:, :, None] > 0, least, NONE_LEAST).min(axis=1, initial=NEVER)
        return IncidentSums(chosen @ added, np.minimum(of_chosen, NONE_LEAST))

    def without_each(self) -> "IncidentSums":
        """Return n selections, each of all incidents but one; self has one incident a selection."""
        return IncidentSums(self.added.sum(axis=0) - self.added, _find_least_of_others(self.least))

    def followed_by(self, other: "IncidentSums") -> "IncidentSums":
        return IncidentSums(np.concatenate([self.added, other.added]), np.concatenate([self.least, other.least]))

    def joined_with(self, history: Sums) -> Sums:
        """Return the sums of the selections, with all else from `history`, the sums of one case."""
        n = len(self.added)
        joined = history.map(lambda values: np.repeat(values, n, axis=-1), n)
        high, low, counts = np.split(self.added, [MASSES, 2 * MASSES], axis=1)
        joined.series[:, :FAILURES] = (join_limbs((high, low)) / UNIT).T.reshape(len(HALF_LIVES), FAILURES, n)
        *ever, recent = counts.T.astype(np.float64)
        worst, days_since = -self.least[:, 0], self.least[:, 1:].T
        return replace(
            joined, ever=np.array(ever), recent=recent, worst=worst.astype(np.float64), days_since=days_since
        )


def fold_each_incident(facts: Facts, folder: Folder) -> tuple[IncidentSums, Sums]:
    """Return (sums of each incident alone, sums without any incident) of a single case."""
    is_first = first_of_runs(facts.violations.incident)
    cases = int(is_first.sum())
    # The first case has exposure and findings, each other an incident.
    apart = replace(
        facts,
        cases=cases + 1,
        violations=replace(facts.violations, case=np.cumsum(is_first)),
        observe_day=np.repeat(facts.observe_day, cases + 1),
        start_day=np.repeat(facts.start_day, cases + 1),
        level=np.repeat(facts.level, cases + 1),
    )
    sums = folder.fold(apart)
    history, each = sums.map(lambda values: values[..., :1], 1), sums.map(lambda values: values[..., 1:], cases)
    whole = (each.series[:, :FAILURES].reshape(MASSES, cases).T * UNIT).astype(np.int64)  # exact: one is below 2^46
    counts = np.column_stack([*each.ever, each.recent]).astype(np.int64)
    least = np.column_stack([-each.worst.astype(np.int64), *each.days_since])
    return IncidentSums(np.hstack([*split_limbs(whole), counts]), least), history


def _find_least_of_others(values: Ints) -> Ints:
    if len(values) < 2:
        return np.broadcast_to(NONE_LEAST, values.shape)
    least, second = np.partition(values, 1, axis=0)[:2]
    of_others: Ints = np.where(values == least, second, least)
    return of_others
