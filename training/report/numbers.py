"""Formatted numbers. None (unknown) is a dash everywhere."""

from collections.abc import Mapping
from typing import Any

from training.report.parts import Pair

UNKNOWN = "–"


class Num(str):
    __slots__ = ()


def number(value: float | None, digits: int = 3) -> Num:
    """Format with `digits` decimals and a true minus: `number(0.81249)` is "0.812"; None is a dash."""
    return Num(UNKNOWN if value is None else f"{value:.{digits}f}".replace("-", "−"))


def signed(value: float | None, digits: int = 3) -> Num:
    """Format a difference with its sign, as "+0.012" or "−0.004"; None is a dash."""
    return Num(UNKNOWN if value is None else f"{value:+.{digits}f}".replace("-", "−"))


def count(value: float | None) -> Num:
    """Format as a whole number, as "1,234"; None is a dash."""
    return Num(UNKNOWN if value is None else f"{round(value):,}".replace("-", "−"))


def percent(value: float | None) -> Num:
    """Format a share with two or three digits: 0.0048 is "0.48 %", 0.123 is "12.3 %"."""
    if value is None:
        return Num(UNKNOWN)
    hundred = abs(value) * 100
    digits = 0 if hundred in (0, 100) else 1 if hundred >= 1 else 2 if hundred >= 0.1 else 3
    return Num(f"{value * 100:.{digits}f} %".replace("-", "−"))


def significant(value: float | None) -> Num:
    """Format with four significant digits: "0.01235"; from 10,000 on as a whole number: "12,346"."""
    return Num(UNKNOWN if value is None else f"{value:,.4g}".replace("-", "−") if abs(value) < 1e4 else count(value))


def spoken(interval: Mapping[str, Any] | None, digits: int = 3, form: Any = number) -> Num:
    """Format an interval in words, as "0.812 (0.790 to 0.834)"; without a value a dash."""
    if interval is None or interval["value"] is None:
        return Num(UNKNOWN)
    value, low, high = (form(interval[key], digits) for key in ("value", "low", "high"))
    return Num(f"{value} ({low} to {high})")


def stacked(interval: Mapping[str, Any] | None, form: Any = number) -> Pair | Num:
    """Format an interval in two lines for a narrow column: "0.812" over "0.790 to 0.834"; without a value a dash."""
    if interval is None or interval["value"] is None:
        return Num(UNKNOWN)
    value, low, high = (form(interval[key]) for key in ("value", "low", "high"))
    return Pair(value, f"{low} to {high}")


def plural(amount: float, singular: str) -> str:
    """Join number and noun: `plural(2, "row")` is "2 rows"."""
    return f"{count(amount)} {singular if amount == 1 else singular + 's'}"


def listed(names: list[str], most: int = 6) -> str:
    """Join names: "a, b and c"; "none" if empty. Beyond `most` it gives the number of the rest."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else "none"


MODELS = {
    "lightgbm": "candidate",
    "unconstrained": "unconstrained twin",
    "logistic": "logistic regression",
    "points_rule": "points rule",
    "raw_count": "raw count",
    "window_volume": "window volume alone",
    "past_volume": "past volume alone",
    "champion": "champion",
    "with_context": "candidate with the actual context",
}
