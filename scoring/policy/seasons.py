"""Seasons: spans of days with multiplied limits on captured value."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scoring.base.parts import Part
from scoring.policy.measures import PPM, Measure, ValueCap

MAX_SEASONS = 20
MAX_SEASON_DAYS = 92

MIN_TIMES_PPM, MAX_TIMES_PPM = 100_000, 10_000_000

_NEVER = 10**9


@dataclass(frozen=True, slots=True)
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
    return next((one for one in seasons if one.first_day <= day <= one.last_day), None)


def read_seasons(root: Part, measures: Iterable[Measure], max_value_minor: int) -> tuple[Season, ...]:
    """Read a policy's seasons, by their first day; note errors in `root`.

    `measures`: those of all rules. A season that would lift a limit beyond `max_value_minor` is an error.
    """
    read = [(part, _read_season(part)) for part in root.list_of_parts("seasons", MAX_SEASONS, "name")]
    found = sorted(read, key=lambda one: one[1].first_day)
    caps = [value for m in measures if isinstance(m, ValueCap) for value in (m.value_minor, *_steps(m))]
    for part, season in found:
        if season.scale(max(caps, default=0)) > max_value_minor:
            part.refuse("times_ppm", f"lifts a value_cap beyond {max_value_minor:,}")
    for (_, before), (part, season) in itertools.pairwise(found):
        if season.first_day <= before.last_day:
            part.refuse("from", f"lies within the season {before.name}: on each day there is one at most")
    return tuple(season for _, season in found)


def _steps(cap: ValueCap) -> Sequence[int]:
    return [step.value_minor for step in cap.grows]


def _read_season(part: Part) -> Season:
    """Return one season; an empty one if its dates are wrong."""
    noted = len(part.errors)
    first, last = part.day("from"), part.day("until")
    if len(part.errors) > noted:
        first, last = _NEVER, -_NEVER
    elif last < first:
        part.refuse("until", "lies before from")
    elif last - first >= MAX_SEASON_DAYS:
        part.refuse("until", f"must be within {MAX_SEASON_DAYS} days, from and until included")
    return Season(part.text("name", 1), first, last, part.number("times_ppm", MIN_TIMES_PPM, MAX_TIMES_PPM))
