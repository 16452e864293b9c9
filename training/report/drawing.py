"""Plots from numbers: axes with round ticks, curves, dots and whiskers, in per cent of the plot's area.

For marks, `x` and `y` are the axes, and `says` is the tooltip.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from scoring.base.canonical import JsonObject
from training.report.parts import UNKNOWN, Axis, Bar, Dot, Line, Mark, Num, Range, RuleLine

FormatNumber = Callable[[float], str]


def short_percent(value: float) -> str:
    """Format a share as a tick: "20 %", "2.5 %"."""
    return f"{round(value * 100, 3):g} %"


def short_number(value: float) -> str:
    """Format a number for an axis, at most six digits, with a true minus: "1,200", "0.25"."""
    return f"{round(value, 6):,g}".replace("-", "−")


def axis(
    values: Iterable[float | None], label: str, form: FormatNumber = short_number, about: int = 5, zero: bool = False
) -> Axis:
    """Return an axis between round numbers that contains all values but None, which may not be all.

    `about` is the rough number of steps; `form` formats ticks.
    """
    known = [value for value in values if value is not None] + ([0.0] if zero else [])
    low, high = min(known), max(known)
    if high - low < 1e-12:
        low, high = low - abs(low) * 0.1 - 1e-6 * (not zero), high + abs(high) * 0.1 + 1e-6
    step = _round_step((high - low) / about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(
        first * step, last * step, label, [(number * step, form(number * step)) for number in range(first, last + 1)]
    )


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= least * (1 - 1e-9))


def share_axis(label: str) -> Axis:
    return Axis(0.0, 1.0, label, [(k / 4, f"{25 * k} %") for k in range(5)])


def draw_curve(xs: Sequence[float], ys: Sequence[float], x: Axis, y: Axis, style: str) -> Line:
    """Draw a line through points in units of the axes; `style` is a CSS class."""
    points = [f"{x.at(x_value):.4g} {100 - y.at(y_value):.4g}" for x_value, y_value in zip(xs, ys, strict=True)]
    return Line("M" + "L".join(points), style)


def draw_dot(at: float, value: float, x: Axis, y: Axis, says: str) -> Mark:
    return Dot(x.at(at), 100 - y.at(value), "m-lightgbm", says)


def draw_whisker(at: float, low: float, high: float, x: Axis, y: Axis, says: str) -> Mark:
    return RuleLine(x.at(at), 100 - y.at(low), x.at(at), 100 - y.at(high), "whisker", says)


def draw_level(value: float, y: Axis) -> RuleLine:
    return RuleLine(0, 100 - y.at(value), 100, 100 - y.at(value), "rule")


class ScaledIntervals:
    """Intervals of a column on one scale, with the place of `rule` (zero, say) marked."""

    def __init__(self, values: Iterable[float | None], rule: float | None = None) -> None:
        known = [v for v in values if v is not None] + ([] if rule is None else [rule])
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        room = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
        self._axis = Axis(low - room, high + room, "", [])
        self._rule = None if rule is None else self._axis.at(rule)

    @staticmethod
    def of(intervals: Iterable[JsonObject | None], rule: float | None = None) -> "ScaledIntervals":
        """Return the scale of the ends (low, high) of all intervals; None is skipped."""
        return ScaledIntervals((row[end] for row in intervals if row for end in ("low", "high")), rule)

    def cell(
        self, value: float | None, low: float | None, high: float | None, text: str, mark: float | None = None
    ) -> Range | str:
        """Return a cell with a value, its interval and, if given, a `mark`; only `text` if value, low or high is None."""
        if value is None or low is None or high is None:
            return text
        at = self._axis.at
        return Range(text, at(value), at(low), at(high), None if mark is None else at(mark), self._rule)

    def draw(self, interval: JsonObject | None, form: Callable[[Any], str], mark: float | None = None) -> Range | str:
        """Return the `cell` of an interval of value, low and high; a dash without one."""
        if interval is None:
            return Num(UNKNOWN)
        return self.cell(interval["value"], interval["low"], interval["high"], form(interval), mark)


def draw_bar(value: float, most: float, text: str) -> Bar:
    """Return a cell with `text` and a bar that is full at `most`; empty below 0, or if `most` is 0."""
    return Bar(text, min(max(value / most if most else 0.0, 0.0), 1.0))
