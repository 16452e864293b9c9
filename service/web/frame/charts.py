"""Charts as SVG, by pure functions. Each stands beside a table of the same numbers."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 880, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 18, 34
_SHAPES = {
    "report": '<circle class="report" cx="{x:.1f}" cy="{y:.1f}" r="5">',
    "against": '<path class="against" d="M{x:.1f} {y:.1f}m-6 5h12l-6 -11z">',
    "for": '<path class="for" d="M{x:.1f} {y:.1f}m-5.5 0l5.5 -5.5 5.5 5.5 -5.5 5.5z">',
}


class Sample(NamedTuple):
    time: datetime
    points: int | None
    """None: unrated, a gap in the line."""
    tier: str


class Mark(NamedTuple):
    time: datetime
    shape: str
    """`report`, `against` the seller, or `for` it."""
    text: str


def draw_curve(samples: Sequence[Sample], marks: Sequence[Mark], summary: str) -> Markup:
    """Draw points over time, from two or more samples in order; screen readers get `summary`."""
    begin, end = samples[0].time, samples[-1].time
    rated = [sample for sample in samples if sample.points is not None]
    low, high = _bounds([sample.points or 0 for sample in rated])
    across = WIDTH - _LEFT - _RIGHT

    def x(time: datetime) -> float:
        return _LEFT + across * ((time - begin) / (end - begin))

    def y(points: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (high - points) / (high - low)

    parts = []
    step = max(20, (high - low) // 80 * 20)
    for level in range(low, high + 1, step):
        parts.append(f'<path class="grid" d="M{_LEFT} {y(level):.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level}</text>')
    parts += _month_labels(begin, end, x)
    for stretch in _stretches(samples):
        line = " ".join(f"{x(sample.time):.1f},{y(sample.points or 0):.1f}" for sample in stretch)
        parts.append(f'<polyline class="line" points="{line}"/>')
    for mark in marks:
        shape = _SHAPES[mark.shape].format(x=x(max(mark.time, begin)), y=y(_points_at(rated, mark.time, low)))
        parts.append(f"{shape}<title>{escape(mark.text)}</title></{shape[1:].split()[0]}>")
    if rated and rated[-1] is samples[-1]:
        last = rated[-1]
        parts.append(f'<circle class="dot" cx="{x(last.time):.1f}" cy="{y(last.points or 0):.1f}" r="6"/>')
    inside = "".join(parts)
    return Markup(  # noqa: S704 numbers, and texts that are escaped
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(summary)}">{inside}</svg>'
    )


def draw_scale(points: int, low: int, high: int) -> Markup:
    def x(value: int) -> float:
        return 8 + 584 * value / 1000

    ticks = "".join(
        f'<text x="{x(tick):.0f}" y="52" text-anchor="middle">{tick}</text>' for tick in range(0, 1001, 250)
    )
    return Markup(  # noqa: S704 numbers
        '<svg class="chart" viewBox="-8 0 616 58" role="img"'
        f' aria-label="{points} points, between {low} and {high}">'
        f'<rect class="grid band" x="8" y="20" width="584" height="10" rx="5" fill-opacity=".45"/>'
        f'<rect class="dot" x="{x(low):.1f}" y="20" width="{max(4.0, x(high) - x(low)):.1f}" height="10" rx="5"'
        ' fill-opacity=".45" stroke="none"/>'
        f'<circle class="dot" cx="{x(points):.1f}" cy="25" r="9"/>{ticks}</svg>'
    )


def draw_step(before: int, after: int, bounds: tuple[int, int]) -> Markup:
    floor, top = bounds
    left, right = sorted((max(floor, before), max(floor, after)))
    kind = "loss" if after < before else "rest"
    scale = 100 / max(top - floor, 1)
    return Markup(  # noqa: S704 numbers
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" x="0" y="1" width="100" height="8" rx="1"/>'
        f'<rect class="{kind}" x="{(left - floor) * scale:.2f}" y="1" width="{max((right - left) * scale, 0.6):.2f}"'
        ' height="8"/></svg>'
    )


def _bounds(values: Sequence[int]) -> tuple[int, int]:
    if not values:
        return 0, 1_000
    low, high = min(values) - 10, max(values) + 10
    spare = max(0, 80 - (high - low)) // 2
    return max(0, (low - spare) // 20 * 20), min(1_000, -(-(high + spare) // 20) * 20)


def _stretches(samples: Sequence[Sample]) -> list[list[Sample]]:
    found: list[list[Sample]] = [[]]
    for sample in samples:
        if sample.points is None:
            found.append([])
        else:
            found[-1].append(sample)
    return [stretch for stretch in found if stretch]


def _points_at(rated: Sequence[Sample], time: datetime, default: int) -> float:
    if not rated:
        return default
    later = next((place for place, sample in enumerate(rated) if sample.time >= time), len(rated) - 1)
    second, first = rated[later], rated[max(0, later - 1)]
    if second.time <= first.time:
        return float(second.points or 0)
    share = min(1.0, max(0.0, (time - first.time) / (second.time - first.time)))
    return (first.points or 0) + share * ((second.points or 0) - (first.points or 0))


def _month_labels(begin: datetime, end: datetime, x: Callable[[datetime], float]) -> list[str]:
    labels, month = [], begin.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    skip = max(1, round((end - begin) / timedelta(days=31) / 7))
    count = 0
    while month < end:
        if month >= begin:
            count += 1
            if count % skip == 0:
                place = x(month)
                text = f"{month:%b %Y}" if month.month == 1 or count == skip else f"{month:%b}"
                labels.append(f'<path class="axis" d="M{place:.1f} {HEIGHT - _BOTTOM}v5"/>')
                minor = "" if count // skip % 2 else ' class="minor"'
                labels.append(f'<text{minor} x="{place:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{text}</text>')
        month = (month + timedelta(days=32)).replace(day=1)
    return labels
