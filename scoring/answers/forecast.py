"""A seller's score on the next days, by today's rules, if it waits, trades cleanly or is verified."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from scoring.answers.variants import Variant, resolve_variants
from scoring.base.arrays import Ints
from scoring.base.enums import IdentityLevel, Kind, ScoreState, Tier
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import FactRow, SaleRow
from scoring.features.facts import Facts
from scoring.features.fold import Sums
from scoring.features.resolved import SellerFacts, attributes_of, resolve_sellers
from scoring.model.artifact import Artifact
from scoring.model.scale import MAX_POINTS
from scoring.scores.look_back import LOOK_BACK_DAYS, collect_past_states
from scoring.scores.points import MAX_CELLS as CELLS_AT_ONCE
from scoring.scores.points import compute_chosen_points
from scoring.scores.score import CoreAnswer, compute_answer

HORIZON_DAYS = LOOK_BACK_DAYS
VOLUME_DAYS = 90
MAX_CELLS = 2_000_000
"""Entries times midnights, up to which every course is followed: about a second."""
FAR_DAYS = 3 * HORIZON_DAYS
"""Days that a wait alone is followed."""


@frozen
class Course:
    """The seller's acts from now on; by default it waits."""

    trades: bool = False
    """Cleanly, at its settled volume."""
    level: IdentityLevel | None = None
    """To which its identity is verified today."""

    @property
    def acts(self) -> int:
        """Return how many acts of the seller it takes (trade, verification): 0 to 2."""
        return self.trades + (self.level is not None)


@frozen
class Forecast:
    """Arrays by days from today's midnight."""

    course: Course
    tiers: Ints
    points: Ints

    def find_day(self, tier: int, first: int = 1) -> int | None:
        """Return the first day, from `first`, with at least this tier; None without one."""
        reached = np.flatnonzero(self.tiers[first:] >= tier)
        return int(reached[0]) + first if len(reached) else None


@frozen
class TierPath:
    tier: Tier
    course: Course
    days: int
    points: int


@frozen
class Forecasts:
    core: CoreAnswer
    tier_number: int
    """Today's by points and standing; 0 without a score."""
    all: Sequence[Forecast]
    """The wait alone is the first."""
    stopped: bool
    """Whether some courses were not followed, to bound the time."""
    may_heal_later: bool
    """False: no wait beyond HORIZON_DAYS, up to FAR_DAYS, gives a better tier."""

    @property
    def wait(self) -> Forecast:
        return self.all[0]

    @property
    def is_fixed(self) -> bool:
        """Return whether each act was tried, and none gives a better tier sooner than a wait.

        False in the best tier, or for lack of orders.
        """
        acting = (one.course for one in self.all if one.course.acts)
        [score] = self.core.scores
        is_unrated = score is not None and score.state is ScoreState.UNRATED and not score.override
        lacks_orders = int(self.core.facts.settled_orders[0]) < self.core.policy.thin_file_orders
        if self.stopped or self.tier_number == max(Tier) or (is_unrated and lacks_orders):
            return False
        return not any(self.reaches_better_tier(course) for course in acting)

    def reaches_better_tier(self, course: Course) -> bool:
        """Return whether a course reaches a better tier in the days ahead; sooner than a wait if it takes acts."""
        days = [one.find_day(self.tier_number + 1) for one in self.all if one.course == course]
        waited = self.wait.find_day(self.tier_number + 1)
        return any(day is not None and (course.acts == 0 or waited is None or day < waited) for day in days)

    def find_first_better_day(self, require_caller: Callable[[], None] = lambda: None) -> int | None:
        """Return the days until a wait alone gives a better tier, if within FAR_DAYS."""
        better = self.tier_number + 1
        day = self.wait.find_day(better)
        if day is not None or self.core.artifact is None or not self.may_heal_later:
            return day
        [far] = _follow_courses(self.core, self.core.artifact, [self.wait.course], 1, require_caller)
        return far.find_day(better, HORIZON_DAYS + 1)

    def improves(self, course: Course) -> bool:
        """Return whether a course reaches a better tier, or more points on some day than today."""
        points_by_day = [one.points for one in self.all if one.course == course]
        return self.reaches_better_tier(course) or any(points.max() > points[0] for points in points_by_day)


def count_recent_orders(facts: Facts) -> int:
    """Return the orders that a single case settled in the last VOLUME_DAYS (90)."""
    recent = facts.exposure_day >= facts.observe_day[0] - VOLUME_DAYS
    return int(facts.exposure_orders[recent].sum())


def forecast(core: CoreAnswer, require_caller: Callable[[], None] = lambda: None) -> Forecasts | None:
    """Return the courses of one seller over HORIZON_DAYS; None without a model.

    With too many entries, only the wait is followed, and `stopped` is set.
    """
    if core.artifact is None:
        return None
    courses = list(_list_courses(core.facts))
    is_bounded = len(core.known.table) * HORIZON_DAYS > MAX_CELLS
    followed = courses[:1] if is_bounded else courses
    far = _follow_courses(core, core.artifact, followed, max(core.policy.clear_days, 1), require_caller)
    near = [Forecast(one.course, one.tiers[: HORIZON_DAYS + 1], one.points[: HORIZON_DAYS + 1]) for one in far]
    tier = _find_tier_number(core)
    may_heal_later = far[0].find_day(tier + 1, HORIZON_DAYS + 1) is not None
    return Forecasts(core, tier, near, len(followed) < len(courses), may_heal_later)


def _find_tier_number(core: CoreAnswer) -> int:
    [score] = core.scores
    return int(score.own_tier or 0) if score else 0


def _list_courses(facts: Facts) -> Iterator[Course]:
    trades = count_recent_orders(facts) > 0
    levels = [level for level in IdentityLevel if level > max(int(facts.level[0]), int(IdentityLevel.NONE))]
    yield Course()
    if trades:
        yield Course(trades=True)
    for level in levels:
        yield Course(level=level)
    if trades:
        yield from (Course(trades=True, level=level) for level in levels)


def _follow_courses(
    core: CoreAnswer, artifact: Artifact, courses: Sequence[Course], far_step: int, require_caller: Callable[[], None]
) -> list[Forecast]:
    """Forecast each course by days from today, exactly within HORIZON_DAYS.

    From there to FAR_DAYS the first course alone: of `far_step` midnights one is computed, and the others count as
    MAX_POINTS, so tiers are an upper bound.
    """
    policy, last_day = core.policy, core.known.observe_time // DAY + FAR_DAYS
    later_facts = resolve_sellers(core.known.sellers, core.known.table, last_day * DAY)
    past = collect_past_states(later_facts, policy, FAR_DAYS).take([0] * len(courses))
    far_rows = FAR_DAYS - HORIZON_DAYS  # row 0 is FAR_DAYS ahead
    is_needed = past.find_needed_midnights(policy, _find_tier_number(core))
    is_needed[far_rows:] = True
    is_needed[:far_rows, 1:] = False
    is_needed[:far_rows] &= np.arange(far_rows)[:, None] % far_step == 0
    points, is_thin = np.full(is_needed.shape, MAX_POINTS, dtype=np.int64), np.zeros_like(is_needed)
    midnights = np.flatnonzero(is_needed.any(axis=1))
    step = max(CELLS_AT_ONCE // max(len(later_facts.table), 1), 1)
    for begin in range(0, len(midnights), step):
        require_caller()
        rows = midnights[begin : begin + step]
        sums, identity_row = _fold_courses(core, artifact, later_facts, courses, last_day - rows)
        is_thin[rows] = policy.is_thin(sums.total_orders, sums.tenure_days).reshape(len(rows), -1)
        identity_row = identity_row.reshape(len(rows), -1)
        *_, points[rows] = compute_chosen_points(artifact, sums, is_needed[rows], identity_row, later_facts.table.rows)
    tiers = past.trace_tiers(later_facts.observe_time, policy, points, is_thin).tiers
    tiers, points = tiers[FAR_DAYS::-1], points[FAR_DAYS::-1]
    return [Forecast(course, tiers[:, case], points[:, case]) for case, course in enumerate(courses)]


def _fold_courses(
    core: CoreAnswer, artifact: Artifact, seller_facts: SellerFacts, courses: Sequence[Course], days: Ints
) -> tuple[Sums, Ints]:
    """Return the sums, and the row of the identity, by (midnight of `days`, course).

    Courses share one fold: trade adds orders alone, a verified identity changes a level.
    """
    count, today, now = len(courses), core.known.observe_time // DAY, core.known.observe_time
    views = seller_facts.view((days * DAY).tolist())
    sums = artifact.folder.fold_views(views).map(lambda v: np.repeat(v[..., 1:-1], count, axis=-1), count * len(days))
    orders_ahead = np.array(_list_orders_ahead(core.facts))
    traded, total = artifact.folder.fold_orders(days[:, None] - today - 1 - np.arange(len(orders_ahead)), orders_ahead)
    trades = np.array([course.trades for course in courses])
    levels = np.array([course.level or 0 for course in courses])
    is_verified = ((days[:, None] * DAY >= now) & (levels > 0)).ravel()
    tenure = (is_verified.reshape(len(days), -1) * (days[:, None] - (now - 1) // DAY)).ravel()
    sums = replace(
        sums,
        orders=sums.orders + (traded[..., None] * trades).reshape(len(traded), -1),
        total_orders=sums.total_orders + (total[:, None] * trades).ravel(),
        level=np.where(is_verified, np.tile(levels, len(days)), sums.level),
        tenure_days=np.maximum(sums.tenure_days, tenure),
    )
    identity_row = np.repeat(views.identity_row[1:-1].ravel(), count)
    return sums, np.where(is_verified, core.facts.identity_row, identity_row)


def _list_orders_ahead(facts: Facts) -> list[int]:
    """Return the orders of each of the next HORIZON_DAYS."""
    total = count_recent_orders(facts)
    ends = [number * total // VOLUME_DAYS for number in range(HORIZON_DAYS + 1)]
    return [end - begin for begin, end in pairwise(ends)]


def _build_variant_of_course(core: CoreAnswer, course: Course, days: int) -> Variant:
    known, facts = core.known, core.facts
    today = known.observe_time // DAY
    sales: list[SaleRow] = []
    if course.trades:
        orders_by_day = enumerate(_list_orders_ahead(facts)[:days], today + 1)
        sales = [(known.observe_time - 1, day, "", 0, orders, 0) for day, orders in orders_by_day]
    added: list[FactRow] = []
    if course.level is not None:
        [attributes] = attributes_of(known.table.rows, facts.identity_row.tolist())
        last = max((row.sequence for row in known.table.rows), default=0)
        time = known.observe_time - 1
        row = FactRow(last + 1, "what-if~identity", known.sellers[0], int(Kind.IDENTITY), time, time)
        added = [row._replace(identity_level=int(course.level), attributes=attributes)]
    return Variant(added=added, sold=sales)


def find_paths(forecasts: Forecasts, require_caller: Callable[[], None] = lambda: None) -> list[TierPath]:
    """Return the shortest course to each better tier in reach, the nearest tier first.

    The score on its last day must confirm a course; else the next shortest is tried.
    """
    paths: list[TierPath] = []
    for tier in Tier:
        if tier <= forecasts.tier_number:
            continue
        days = {one.course: day for one in forecasts.all if (day := one.find_day(int(tier))) is not None}
        for course in sorted(days, key=lambda course: (days[course], course.acts)):
            if (
                points := _find_points_on_arrival(forecasts.core, course, days[course], tier, require_caller)
            ) is not None:
                paths.append(TierPath(tier, course, days[course], points))
                break
    return paths


def _find_points_on_arrival(
    core: CoreAnswer, course: Course, days: int, tier: Tier, require_caller: Callable[[], None]
) -> int | None:
    """Return the points on a course's last day; None if its tier is not reached."""
    time = (core.known.observe_time // DAY + days) * DAY
    variant_facts = resolve_variants(core.known, [_build_variant_of_course(core, course, days)], time)
    [score] = compute_answer(variant_facts, core.artifact, core.policy, require_caller=require_caller).scores
    is_reached = score is not None and score.tier is not None and score.tier >= tier
    return (score.points or 0) if score is not None and is_reached else None
