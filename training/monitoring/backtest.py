"""Backtest: a model's answers about every seller on past days, and the tier changes that it would have made.

THEN is the knowledge of the day: a server's answer for `observe_time` = `known_time` = the day, if entries were
recorded when they were reported. TODAY adds every decision in the export: today's answer for `observe_time` alone, also
in a ledger with imported history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.errors import ConfigurationWrong, invalid
from scoring.base.progress import Progress
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns
from scoring.features.facts import Facts, resolve
from scoring.features.fold import Sums
from scoring.features.table import matrix
from scoring.model.artifact import Artifact
from scoring.model.scale import MAX_POINTS
from scoring.policy.policy import Policy
from scoring.scores.tiers import NO_TIER, decide_tiers, find_guilty
from training.evaluation.ranking import auc
from training.monitoring.outcomes import is_mature, last_training_day, outcome, slope_of
from training.observation.chunks import split_by_sellers
from training.observation.export import LedgerTable
from training.study.definition import Study

MAX_ENTRIES = 50_000

ABSENT = NO_TIER

STATES = (ABSENT, *Tier)
MONTH_DAYS = 365.25 / 12
MAX_STEPS = 4000


class Knowledge(StrEnum):
    THEN = "then"
    TODAY = "today"


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers about every seller of the table, in its order. Arrays of shape (sellers,)."""

    points: Ints
    """int64; -1: the seller is absent or unrated."""
    tier: Ints
    """int64; ABSENT: none."""
    raw: Floats
    """Raw score, float64, also of the unrated; NaN of the absent."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Quality of a day's answers, for the sellers that the study observed. By tier: shape (6,)."""

    rows: Ints
    bad: Ints
    weight: Floats
    """Weight of the observed sellers by tier: their number, unless the study weighs its rows."""
    bad_weight: Floats
    expected: Floats
    """Bad weight that the model expected over each seller's own exposure, by tier."""
    auc: float
    auc_against: float | None


@dataclass(frozen=True, slots=True)
class BacktestDay:
    """One day of a backtest. States are ABSENT, then the tiers."""

    day: int
    sellers: Ints
    moved: Ints | None
    """Sellers by (state at the step before, state now), shape (6, 6); None at the first step."""
    changed: int
    """Among sellers with a tier at both steps."""
    against: Ints | None
    """Sellers by (state by the other model, state now), shape (6, 6); None if alone."""
    in_sample: bool
    """The day precedes an outcome that the model learned from: its figures flatter the model."""
    figures: Figures | None
    """None without a study, or before maturity."""


@dataclass(frozen=True, slots=True)
class Backtest:
    steps: tuple[BacktestDay, ...]
    moved: Ints
    affected: int
    months: float
    """The sellers' months under a tier."""

    @property
    def promotions(self) -> int:
        return int(np.triu(self.moved[_RATED, _RATED], 1).sum())

    @property
    def demotions(self) -> int:
        return int(np.tril(self.moved[_RATED, _RATED], -1).sum())

    @property
    def churn_per_month(self) -> float | None:
        """Return the tier changes per seller and month; None for a single day."""
        changes = sum(step.changed for step in self.steps)
        return changes / self.months if self.months else None


_RATED = slice(int(RATED_TIERS[0]), int(RATED_TIERS[-1]) + 1)


def answers_at(
    table: LedgerTable, artifact: Artifact, policy: Policy, day: int, knowledge: Knowledge = Knowledge.THEN
) -> Answers:
    asked = _Question(table.attributes, artifact, policy, day * DAY, as_reported=knowledge is Knowledge.THEN)
    parts = [_answer(columns, asked) for _, columns in split_by_sellers(table.columns, MAX_ENTRIES)]
    names = Answers.__dataclass_fields__
    return Answers(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def backtest(
    table: LedgerTable,
    artifact: Artifact,
    policy: Policy,
    days: Sequence[int],
    *,
    against: Artifact | None = None,
    study: Study | None = None,
    knowledge: Knowledge = Knowledge.THEN,
    progress: Progress = lambda _step, _done, _total: None,
) -> Backtest:
    """Answer every seller on each of `days`, ascending; compare with the day before and with the model `against`.

    With a study, days whose window and maturity are over by the table's end have figures. `progress`: called with the
    step, days done, and all days. Raises ConfigurationWrong for a study at events: its outcomes cover only sellers with
    an event.
    """
    if study is not None and study.observation.events is not None:
        raise ConfigurationWrong(
            f"the study {study.name} observes sellers at events, so it cannot say how right the answers of a day were:"
            " leave out --study, and see the evaluation of the model's test period (sellertrust model show)"
        )
    learned_until = last_training_day(artifact)
    before: Answers | None = None
    affected = np.zeros(table.columns.cases, dtype=bool)
    months = 0.0
    steps: list[BacktestDay] = []
    for done, day in enumerate(days):
        progress("backtest", done, len(days))
        now = answers_at(table, artifact, policy, day, knowledge)
        other = answers_at(table, against, policy, day, knowledge) if against else None
        changed = np.zeros(0, dtype=bool)
        if before is not None:
            stayed = (before.tier != ABSENT) & (now.tier != ABSENT)
            changed = stayed & (before.tier != now.tier)
            affected |= changed
            months += int(stayed.sum()) * (day - steps[-1].day) / MONTH_DAYS
        steps.append(
            BacktestDay(
                day=day,
                sellers=np.bincount(now.tier, minlength=len(STATES)),
                moved=None if before is None else migration(before.tier, now.tier),
                changed=int(changed.sum()),
                against=None if other is None else migration(other.tier, now.tier),
                in_sample=day < learned_until,
                figures=_find_figures(table, study, day, artifact, now, against, other),
            )
        )
        before = now
    progress("backtest", len(days), len(days))
    moved = sum((s.moved for s in steps if s.moved is not None), np.zeros((len(STATES), len(STATES)), dtype=np.int64))
    return Backtest(tuple(steps), moved, int(affected.sum()), months)


def days_between(first: int, last: int, step: int) -> list[int]:
    """Return every `step`th day from `first` to `last` inclusive.

    Raises InvalidInput if `last` is earlier than `first`, or for more than MAX_STEPS days.
    """
    if last < first:
        raise invalid("--to", "lies before --from; give the earlier day first")
    if (last - first) // step >= MAX_STEPS:
        raise invalid("--step", f"makes more than {MAX_STEPS} steps of so many days; choose a larger --step")
    return list(range(first, last + 1, step))


def migration(before: Ints, now: Ints) -> Ints:
    return np.bincount(before * len(STATES) + now, minlength=len(STATES) ** 2).reshape(len(STATES), len(STATES))


def _find_figures(
    table: LedgerTable,
    study: Study | None,
    day: int,
    artifact: Artifact,
    answers: Answers,
    against: Artifact | None,
    others: Answers | None,
) -> Figures | None:
    """Return how a day's answers came true in the window from it; None while it is open, or if there is no study."""
    if study is None or not is_mature(table, study, day):
        return None
    seen = outcome(table, study.with_exposure_slope(slope_of(artifact)), day)
    tier, expected = answers.tier[seen.seller], seen.expected(artifact, answers.raw[seen.seller])

    def ranked(given: Answers) -> float:
        return float(auc(given.raw[seen.seller], seen.bad, seen.weight))

    def by_tier(values: Floats) -> Floats:
        return np.bincount(tier, weights=values, minlength=len(STATES)).astype(np.float64)

    return Figures(
        rows=np.bincount(tier, minlength=len(STATES)),
        bad=by_tier(seen.bad).astype(np.int64),
        weight=by_tier(seen.weight),
        bad_weight=by_tier(seen.weight * seen.bad),
        expected=by_tier(seen.weight * expected),
        auc=ranked(answers),
        auc_against=None if against is None or others is None else ranked(others),
    )


@dataclass(frozen=True, slots=True)
class _Question:
    """What a backtest asks about a day."""

    attributes: Mapping[int, Mapping[str, str]]
    artifact: Artifact
    policy: Policy
    moment: int
    """The beginning of the day, in microseconds."""
    as_reported: bool
    """Only with what was reported by then."""

    def resolve(self, columns: EntryColumns, moment: int) -> Facts:
        times = np.full(columns.cases, moment)
        return resolve(columns, times, reported_before=self.moment, as_reported=self.as_reported)

    def score(self, facts: Facts, sums: Sums) -> Floats:
        nothing: Mapping[str, str] = {}
        attributes = [self.attributes.get(row, nothing) for row in facts.identity_row.tolist()]
        return self.artifact.raw_score(matrix(sums, self.artifact.features, attributes))

    def points(self, facts: Facts) -> Ints:
        return self.artifact.scale.points(self.score(facts, self.artifact.folder.fold(facts)))


def _answer(columns: EntryColumns, asked: _Question) -> Answers:
    """Return the points (-1 if not rated), tiers and raw scores of the sellers of `columns` at the question's moment."""
    policy, artifact = asked.policy, asked.artifact
    if asked.as_reported:
        columns = columns.take(columns.report_time < asked.moment)
    facts = asked.resolve(columns, asked.moment)
    sums = artifact.folder.fold(facts)
    raw = asked.score(facts, sums)
    points = artifact.scale.points(raw)
    rated = facts.exists & (find_guilty(facts) | ~policy.is_thin(sums.total_orders, sums.tenure_days))
    lowest = points.copy()
    high = np.flatnonzero(rated & (points >= policy.cut_offs[RATED_TIERS[1]]))
    if len(high):
        lowest[high] = np.minimum(points[high], _find_lowest_points(columns, high, asked))
    standing = np.zeros_like(points) if policy.standing is None else policy.standing.add_up(facts)
    return Answers(
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
