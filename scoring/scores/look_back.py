from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np

from scoring.base.arrays import NEVER, Bools, Ints
from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.facts import first_days
from scoring.features.resolved import SellerFacts
from scoring.features.violations import raise_severities, sort_violations
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.scores.points import MAX_CELLS, SellerPoints, find_points
from scoring.scores.tiers import NO_TIER, decide_tiers

LOOK_BACK_DAYS = 180
"""Day-ends searched for the begin of a measure by tier."""


@frozen
class PastTiers:
    """The tiers at the last midnights, of shape (midnights, sellers), today's first."""

    observe_time: int
    tiers: Ints
    """NO_TIER of a seller that did not exist."""
    override: Ints
    """The tier that a person had set, or 0."""

    def find_tier_start(
        self, case: int, tiers: frozenset[Tier], is_thin: bool, override_time: int | None
    ) -> int | None:
        """Return since when a seller's tier has been one of `tiers`, in microseconds; None: before the days looked back.

        That is the first midnight of this span, or today's if it began since; or `override_time` if the override began
        it. `is_thin`: the file is thin, and only a violation makes the seller rated. If `tiers` has UNRATED, each
        midnight without an override then belongs to the span, unless the seller did not exist.
        """
        tier = self.tiers[:, case]
        holds = np.isin(tier, [int(one) for one in tiers])
        if is_thin and Tier.UNRATED in tiers:
            holds |= (tier != NO_TIER) & (self.override[:, case] == 0)
        if holds.all():
            return None
        midnights_held, today = int(np.argmin(holds)), self.observe_time // DAY
        midnight = (today - max(midnights_held - 1, 0)) * DAY
        span = (midnight - DAY, midnight) if midnights_held else (midnight, self.observe_time)
        return override_time if override_time is not None and span[0] <= override_time <= span[1] else midnight


@frozen
class PastStates:
    """The facts, besides points, that decide past tiers; arrays of shape (midnights, sellers)."""

    exists: Bools
    override: Ints
    standing: Ints
    is_guilty: Bools
    """A violation counts."""
    best: Ints
    """The best tier that the standing allows."""

    def find_needed_midnights(self, policy: Policy, lowest_tier: int = int(RATED_TIERS[0])) -> Bools:
        """Return the midnights whose points limit the tier of now, or one in the past that they can change.

        A tier that the standing keeps at `lowest_tier` or below asks for no points.
        """
        window = _count_window_midnights(policy)
        is_fixed = (self.is_guilty & (self.best <= lowest_tier)) | (self.override > 0) | ~self.exists
        is_fixed[len(is_fixed) - window + 1 :] = True  # their points count only for later tiers
        fixed_so_far = np.cumsum(np.pad(is_fixed, ((window, 0), (0, 0)), constant_values=True), axis=0)
        needed = np.asarray(fixed_so_far[window:] - fixed_so_far[:-window] < window)
        needed[: policy.clear_days] = True
        return needed

    def trace_tiers(self, observe_time: int, policy: Policy, points: Ints, is_thin: Bools) -> PastTiers:
        """Return the tiers at these midnights, but for the earliest `clear_days - 1`, which only limit later tiers.

        `points`, and `is_thin` (whether the file was thin): at all these midnights, of shape (midnights, sellers).
        """
        lowest = np.lib.stride_tricks.sliding_window_view(points, _count_window_midnights(policy), axis=0).min(axis=-1)
        last = slice(len(lowest))
        is_rated, override = self.is_guilty[last] | ~is_thin[last], self.override[last]
        tiers = decide_tiers(policy, lowest, self.standing[last], is_rated, override, self.exists[last])
        return PastTiers(observe_time, tiers, override)

    def take(self, cases: Sequence[int]) -> "PastStates":
        return PastStates(*(getattr(self, field.name)[:, cases] for field in fields(self)))


def look_back(
    seller_facts: SellerFacts,
    artifact: Artifact,
    policy: Policy,
    require_caller: Callable[[], None] = lambda: None,
) -> tuple[SellerPoints, PastTiers]:
    past = collect_past_states(seller_facts, policy)
    points = find_points(seller_facts, artifact, policy, past.find_needed_midnights(policy), require_caller)
    return points, past.trace_tiers(seller_facts.observe_time, policy, points.midnights, points.is_thin)


def collect_past_states(seller_facts: SellerFacts, policy: Policy, days_back: int = LOOK_BACK_DAYS) -> PastStates:
    """Return the states at today's midnight, those so many days back, and those that limit the tier of the last."""
    days = seller_facts.observe_time // DAY - np.arange(days_back + _count_window_midnights(policy))
    step = max(MAX_CELLS // max(len(seller_facts.table), 1), 1)
    parts = [_compute_columns(seller_facts, days[begin : begin + step], policy) for begin in range(0, len(days), step)]
    return PastStates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _count_window_midnights(policy: Policy) -> int:
    return max(policy.clear_days, 1)


def _compute_columns(seller_facts: SellerFacts, days: Ints, policy: Policy) -> tuple[Bools, Ints, Ints, Bools, Ints]:
    """Return the columns of `PastStates`, in its order, at the midnights of `days`."""
    visible, cases = seller_facts.visible, seller_facts.columns.cases
    shape, days_column, judged = (len(days), cases), days[:, None], seller_facts.visible.judged
    began = np.minimum(first_days(cases, visible.sold, visible.identities), days[0])
    np.minimum.at(began, judged.reports.case[judged.stands], judged.reports.occur_time[judged.stands] // DAY)
    exists: Bools = days_column > began

    override = np.zeros(shape, dtype=np.int64)
    overrides = visible.overrides
    override_columns = (overrides.case, overrides.occur_time, overrides.until, overrides.status)
    for case, time, until, tier in zip(*(column.tolist() for column in override_columns), strict=True):
        tiers = np.where(days * DAY < until, tier, 0)
        override[:, case] = np.where(days * DAY > time, tiers, override[:, case])

    violations, order = sort_violations(judged.reports, judged.counts)
    earliest = np.full(cases, NEVER)
    np.minimum.at(earliest, violations.case, violations.day)
    is_guilty: Bools = days_column > earliest
    standing = np.zeros(shape, dtype=np.int64)
    best = np.full(shape, int(RATED_TIERS[-1]))
    if policy.standing is not None:
        is_seen = violations.day < days_column
        units = judged.units[order]
        if units.any():
            units = np.where(is_seen, units, 0)
        severity = raise_severities(violations, judged.severity[order], units, judged.is_reduced[order])
        age = np.where(is_seen, days_column - violations.day, NEVER)
        standing = policy.standing.by_case(violations, age, severity, cases)
        best = policy.standing.bound(best.ravel(), standing.ravel()).reshape(shape)
    return exists, override, standing, is_guilty, best
