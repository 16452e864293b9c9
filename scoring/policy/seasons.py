"""Seasons: spans of days with multiplied limits on captured value."""

import itertools
from collections.abc import Iterable

from scoring.base.frozen import frozen
from scoring.base.parts import Part
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.policy.measures import PPM, Measure, ValueCap

MAX_SEASONS = 20
MAX_SEASON_DAYS = 92

MIN_TIMES_PPM, MAX_TIMES_PPM = 100_000, 10_000_000


@frozen
class Season:
    name: str
    first_day: int
    last_day: int
    times_ppm: int
    """1,500,000 is half as much again."""

    def scale(self, cap_minor: int) -> int:
        """Return a limit as it is within the season, rounded down: 333 by 1,500,000 ppm is 499."""
        return cap_minor * self.times_ppm // PPM


def find_season(seasons: Iterable[Season], day: int) -> Season | None:
    return next((season for season in seasons if season.first_day <= day <= season.last_day), None)


def read_seasons(root: Part, measures: Iterable[Measure]) -> tuple[Season, ...]:
    """Read a policy's seasons, by their first day; note errors in `root`. `measures`: of all rules."""
    read = [(part, _read_season(part)) for part in root.list_of_parts("seasons", MAX_SEASONS, "name")]
    ordered = sorted(read, key=lambda one: one[1].first_day)
    caps = [
        value
        for m in measures
        if isinstance(m, ValueCap)
        for value in (m.value_minor, *(step.value_minor for step in m.grows))
    ]
    for part, season in ordered:
        if season.scale(max(caps, default=0)) > MAX_VALUE_MINOR:
            part.refuse("times_ppm", f"lifts a value_cap beyond {MAX_VALUE_MINOR:,}")
    for (_, before), (part, season) in itertools.pairwise(ordered):
        if season.first_day <= before.last_day:
            part.refuse("from", f"lies within the season {before.name}: on each day there is one at most")
    return tuple(season for _, season in ordered)


def _read_season(part: Part) -> Season:
    times = part.number("times_ppm", MIN_TIMES_PPM, MAX_TIMES_PPM)
    return Season(part.text("name", 1), *part.span(MAX_SEASON_DAYS), times)
