from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import RATED_TIERS
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from scoring.features.facts import Facts, resolve
from scoring.features.fold import Sums
from scoring.features.table import matrix
from scoring.model.artifact import Artifact
from scoring.model.scale import MAX_POINTS
from scoring.policy.policy import Policy
from scoring.scores.tiers import NO_TIER, decide_tiers, find_rated
from training.observation.chunks import split_by_sellers
from training.observation.export import LedgerTable

MAX_ENTRIES = 50_000

ABSENT = NO_TIER


@dataclass(frozen=True, slots=True)
class PastAnswers:
    """The answers about every seller of the table, in its order. Arrays of shape (sellers,)."""

    points: Ints
    """int64; -1: the seller is absent or unrated."""
    tier: Ints
    """int64; ABSENT: none."""
    raw: Floats
    """Raw score, float64, also of the unrated; NaN of the absent."""


def find_past_answers(table: LedgerTable, artifact: Artifact, policy: Policy, day: int) -> PastAnswers:
    """Return the answers about every seller as a server gave them for `observe_time` = `known_time` = the day."""
    asked = _Question(table.attributes, artifact, policy, day * DAY)
    parts = [_answer(columns, asked) for _, columns in split_by_sellers(table.columns, MAX_ENTRIES)]
    names = PastAnswers.__dataclass_fields__
    return PastAnswers(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, slots=True)
class _Question:
    attributes: Mapping[int, Mapping[str, str]]
    artifact: Artifact
    policy: Policy
    moment: int
    """The beginning of the day, in microseconds."""

    def resolve(self, columns: EntryColumns, moment: int) -> Facts:
        times = np.full(columns.cases, moment)
        return resolve(columns, times, reported_before=self.moment)

    def score(self, facts: Facts, sums: Sums) -> Floats:
        nothing: Mapping[str, str] = {}
        attributes = [self.attributes.get(row, nothing) for row in facts.identity_row.tolist()]
        return self.artifact.raw_score(matrix(sums, self.artifact.features, attributes))

    def points(self, facts: Facts) -> Ints:
        return self.artifact.scale.points(self.score(facts, self.artifact.folder.fold(facts)))


def _answer(columns: EntryColumns, asked: _Question) -> PastAnswers:
    policy, artifact = asked.policy, asked.artifact
    columns = columns.take(columns.report_time < asked.moment)
    facts = asked.resolve(columns, asked.moment)
    sums = artifact.folder.fold(facts)
    raw = asked.score(facts, sums)
    points = artifact.scale.points(raw)
    rated = facts.exists & find_rated(policy, facts)
    lowest = points.copy()
    high = np.flatnonzero(rated & (points >= policy.cut_offs[RATED_TIERS[1]]))
    if len(high):
        lowest[high] = np.minimum(points[high], _find_lowest_points(columns, high, asked))
    standing = np.zeros_like(points) if policy.standing is None else policy.standing.add_up(facts)
    return PastAnswers(
        points=np.where(rated, points, -1),
        tier=decide_tiers(policy, lowest, standing, rated, facts.override, facts.exists),
        raw=np.where(facts.exists, raw, np.nan),
    )


def _find_lowest_points(columns: EntryColumns, cases: NDArray[np.intp], asked: _Question) -> Ints:
    place = np.full(columns.cases, -1, dtype=np.int64)
    place[cases] = np.arange(len(cases))
    chosen = columns.take(place[columns.case] >= 0)
    chosen = chosen.of_cases(place[chosen.case], len(cases))
    lowest = np.full(len(cases), MAX_POINTS, dtype=np.int64)
    for back in range(1, asked.policy.clear_days):
        lowest = np.minimum(lowest, asked.points(asked.resolve(chosen, asked.moment - back * DAY)))
    return lowest
