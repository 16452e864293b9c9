"""What becomes of a seller's score on the next days, by today's rules, if it waits, trades cleanly or is verified."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scoring.answers.variants import Variant, resolve_variants
from scoring.base.arrays import Ints
from scoring.base.enums import IdentityLevel, Kind, Tier
from scoring.base.time import DAY
from scoring.features.columns import FactRow, SaleRow
from scoring.features.facts import Facts
from scoring.features.resolved import SellerFacts, attributes_of
from scoring.model.artifact import Artifact
from scoring.scores.look_back import LOOK_BACK_DAYS, look_back
from scoring.scores.score import CoreAnswer, answer

HORIZON_DAYS = LOOK_BACK_DAYS
VOLUME_DAYS = 90
"""Days whose orders are the settled volume of a seller."""
MAX_CELLS = 6_000_000
"""Entries times midnights that one search folds: some seconds."""
MAX_WAITS = 3
"""Times HORIZON_DAYS that a wait is followed."""


@dataclass(frozen=True, slots=True)
class Course:
    """What the seller does from today on."""

    trades: bool = False
    """Cleanly, at its settled volume."""
    level: IdentityLevel | None = None
    """To which its identity is verified today."""

    @property
    def acts(self) -> int:
        return self.trades + (self.level is not None)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Arrays by days from today: today's midnight, then each to come."""

    course: Course
    tiers: Ints
    points: Ints

    def find_day(self, tier: int) -> int | None:
        """Return the first day ahead with at least a tier, or None."""
        reached = np.flatnonzero(self.tiers[1:] >= tier)
        return int(reached[0]) + 1 if len(reached) else None


@dataclass(frozen=True, slots=True)
class TierPath:
    tier: Tier
    course: Course
    days: int
    """From today; it is reached at that UTC midnight."""
    points: int
    orders_a_day: float


@dataclass(frozen=True, slots=True)
class Forecasts:
    given: CoreAnswer
    artifact: Artifact
    all: Sequence[Forecast]
    """The wait alone is the first."""
    stopped: bool
    """Whether some courses were not followed, to bound the time."""

    @property
    def wait(self) -> Forecast:
        return self.all[0]

    @property
    def tier(self) -> int:
        [score] = self.given.scores
        return int(score.own_tier or 0) if score else 0

    @property
    def is_fixed(self) -> bool:
        """Return whether no act of the seller gives a better tier sooner than a wait; False in the best tier."""
        acting = (one.course for one in self.all if one.course.acts)
        return self.tier < max(Tier) and not any(self.moves_tier(course) for course in acting)

    def moves_tier(self, course: Course) -> bool:
        """Return whether a course reaches a better tier in the days ahead, and sooner than a wait."""
        found = [one.find_day(self.tier + 1) for one in self.all if one.course == course]
        waited = self.wait.find_day(self.tier + 1)
        return any(day is not None and (course.acts == 0 or waited is None or day < waited) for day in found)

    def gains_points(self, course: Course) -> bool:
        found = [one.points for one in self.all if one.course == course]
        return any(int(points.max()) > int(points[0]) for points in found)


def daily_volume(facts: Facts) -> int:
    """Return the orders settled in the last VOLUME_DAYS days."""
    recent = facts.exposure_day >= facts.observe_day[0] - VOLUME_DAYS
    return int(facts.exposure_orders[recent].sum())


def forecast(given: CoreAnswer, check: Callable[[], None] = lambda: None) -> Forecasts | None:
    """Return the courses of one seller over HORIZON_DAYS; None without a model."""
    if given.artifact is None:
        return None
    courses = list(_list_courses(given.facts))
    cost = len(given.known.table) * (HORIZON_DAYS + given.policy.clear_days)
    followed = courses[: max(MAX_CELLS // max(cost, 1), 1)]
    return Forecasts(
        given,
        given.artifact,
        _follow(given, given.artifact, followed, HORIZON_DAYS, check),
        len(followed) < len(courses),
    )


def _list_courses(facts: Facts) -> Iterator[Course]:
    """Yield the wait alone first, the cheapest courses first."""
    trades = daily_volume(facts) > 0
    levels = [level for level in IdentityLevel if level > max(int(facts.level[0]), int(IdentityLevel.NONE))]
    yield Course()
    if trades:
        yield Course(trades=True)
    for level in levels:
        yield Course(level=level)
    if trades:
        yield from (Course(trades=True, level=level) for level in levels)


def _follow(
    given: CoreAnswer,
    artifact: Artifact,
    courses: Sequence[Course],
    days: int,
    check: Callable[[], None],
    *,
    every: bool = True,
) -> list[Forecast]:
    """Return the last HORIZON_DAYS of each course; without `every`, points are 0 where they change no tier."""
    known = _resolve_courses(given, courses, days)
    points, past = look_back(known, artifact, given.policy, check, every=every)
    ahead = slice(HORIZON_DAYS, None, -1)
    return [
        Forecast(course, past.tiers[ahead, case], points.midnights[ahead, case]) for case, course in enumerate(courses)
    ]


def _resolve_courses(given: CoreAnswer, courses: Sequence[Course], days: int) -> SellerFacts:
    """Return the facts of each course at the UTC midnight so many days ahead."""
    today = given.known.observe_time // DAY
    variants = [_variant_of(given, course, days) for course in courses]
    return resolve_variants(given.known, variants, max((today + days) * DAY, given.known.observe_time))


def _variant_of(given: CoreAnswer, course: Course, days: int) -> Variant:
    known, facts = given.known, given.facts
    today, total = known.observe_time // DAY, daily_volume(facts)
    sold: list[SaleRow] = []
    if course.trades:
        ends = [(number * total) // VOLUME_DAYS for number in range(days + 1)]
        sold = [
            (known.observe_time - 1, today + 1 + number, "", 0, ends[number + 1] - ends[number], 0)
            for number in range(days)
        ]
    added: list[FactRow] = []
    if course.level is not None:
        [attributes] = attributes_of(known.table.rows, facts.identity_row.tolist())
        last = max((row.sequence for row in known.table.rows), default=0)
        time = known.observe_time - 1
        row = FactRow(last + 1, "what-if~identity", known.sellers[0], int(Kind.IDENTITY), time, time)
        added = [row._replace(identity_level=int(course.level), attributes=attributes)]
    return Variant(added=added, sold=sold)


def find_paths(found: Forecasts, check: Callable[[], None] = lambda: None) -> list[TierPath]:
    """Return the shortest course to each better tier, the nearest tier first; each is scored again on its day."""
    paths: list[TierPath] = []
    for tier in Tier:
        if tier <= found.tier:
            continue
        days = {one.course: day for one in found.all if (day := one.find_day(int(tier))) is not None}
        for course in sorted(days, key=lambda course: (days[course], course.acts)):
            if (points := _rescore(found.given, course, days[course], tier, check)) is not None:
                volume = daily_volume(found.given.facts) / VOLUME_DAYS if course.trades else 0.0
                paths.append(TierPath(tier, course, days[course], points, volume))
                break
    return paths


def _rescore(given: CoreAnswer, course: Course, days: int, tier: Tier, check: Callable[[], None]) -> int | None:
    """Return the points on the day if the tier is then reached, by a score of that day alone."""
    known = _resolve_courses(given, [course], days)
    [score] = answer(known, given.artifact, given.policy, check=check).scores
    reached = score is not None and score.tier is not None and score.tier >= tier
    return (score.points or 0) if score is not None and reached else None


def find_first_better_day(found: Forecasts, check: Callable[[], None] = lambda: None) -> int | None:
    """Return the days until a wait alone gives a better tier; None if not within MAX_WAITS times HORIZON_DAYS."""
    if (day := found.wait.find_day(found.tier + 1)) is not None:
        return day
    for number in range(2, MAX_WAITS + 1):
        [later] = _follow(found.given, found.artifact, [Course()], number * HORIZON_DAYS, check, every=False)
        reached = np.flatnonzero(later.tiers > found.tier)
        if len(reached):
            return (number - 1) * HORIZON_DAYS + int(reached[0])
    return None
