"""Charts stand beside tables of the same numbers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from service.web.frame.rendering import templates
from service.web.languages import month_in

WIDTH, HEIGHT = 880, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 18, 44


class PointsSample(NamedTuple):
    time: datetime
    points: int | None
    """None: unrated, a gap in the line."""
    tier: str


class Mark(NamedTuple):
    time: datetime
    shape: str
    """`report`, `against` the seller, or `for` it."""
    text: str


def draw_curve(samples: Sequence[PointsSample], marks: Sequence[Mark], summary: str, language: str = "en") -> Markup:
    """Draw points over time, from two or more samples in order; screen readers get `summary`."""
    begin, end = samples[0].time, samples[-1].time
    rated = [sample for sample in samples if sample.points is not None]
    low, high = _choose_points_range([sample.points or 0 for sample in rated])
    across = WIDTH - _LEFT - _RIGHT

    def x(time: datetime) -> float:
        return _LEFT + across * ((time - begin) / (end - begin))

    def y(points: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (high - points) / (high - low)

    def points_at(time: datetime) -> float:
        later = next((index for index, sample in enumerate(rated) if sample.time >= time), len(rated) - 1)
        first, second = rated[max(0, later - 1)], rated[later]
        if not first.time < time < second.time:
            return second.points or 0
        share = (time - first.time) / (second.time - first.time)
        return (first.points or 0) + share * ((second.points or 0) - (first.points or 0))

    rows = range(low, high + 1, max(20, (high - low) // 80 * 20))
    lines = [
        " ".join(f"{x(sample.time):.1f},{y(sample.points or 0):.1f}" for sample in stretch)
        for is_rated, stretch in groupby(samples, lambda sample: sample.points is not None)
        if is_rated
    ]
    drawn = (
        templates()
        .get_template("curve.svg")
        .render(
            size=(WIDTH, HEIGHT),
            edges=(_LEFT, WIDTH - _RIGHT, HEIGHT - _BOTTOM),
            summary=summary,
            levels=[(level, y(level)) for level in rows],
            months=[(x(month), text) for month, text in _list_month_labels(begin, end, language)],
            lines=lines,
            marks=[(mark, x(max(mark.time, begin)), y(points_at(mark.time) if rated else low)) for mark in marks],
            dot=(x(end), y(rated[-1].points or 0)) if rated and rated[-1] is samples[-1] else None,
        )
    )
    return Markup(drawn)  # noqa: S704 the template escapes


def _choose_points_range(values: Sequence[int]) -> tuple[int, int]:
    if not values:
        return 0, 1_000
    low, high = min(values) - 10, max(values) + 10
    spare = max(0, 80 - (high - low)) // 2
    return max(0, (low - spare) // 20 * 20), min(1_000, -(-(high + spare) // 20) * 20)


def _list_month_labels(begin: datetime, end: datetime, language: str) -> list[tuple[datetime, str]]:
    months, month = [], begin.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month < end:
        if month >= begin:
            months.append(month)
        month = (month + timedelta(days=32)).replace(day=1)
    skip = max(1, round((end - begin) / timedelta(days=31) / 7))
    labelled = months[skip - 1 :: skip]
    return [
        (month, month_in(language, month, with_year=month.month == 1 or month is labelled[0])) for month in labelled
    ]
