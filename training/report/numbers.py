"""Numbers as people read them. `None` (not known) is written as a dash everywhere."""

from typing import Any

from training.report.parts import Pair

Json = Any
UNKNOWN = "–"
"""The dash for what is not known."""


class Num(str):
    """A number ready to be read; tables align it to the right, in figures of one width."""

    __slots__ = ()


def number(value: float | None, digits: int = 3) -> Num:
    """Format a number with `digits` decimals; None is the unknown sign.

    `number(0.81249)` is "0.812". With a true minus.
    """
    return Num(UNKNOWN if value is None else f"{value:.{digits}f}".replace("-", "−"))


def signed(value: float | None, digits: int = 3) -> Num:
    """Format a difference with its sign: "+0.012", "−0.004"; None is the unknown sign."""
    return Num(UNKNOWN if value is None else f"{value:+.{digits}f}".replace("-", "−"))


def count(value: float | None) -> Num:
    """Format a whole number, thousands apart: "12,345"; None is the unknown sign."""
    return Num(UNKNOWN if value is None else f"{round(value):,}".replace("-", "−"))


def percent(value: float | None) -> Num:
    """Format a share in per cent, in two or three figures.

    0.0048 is "0.48 %", 0.123 is "12.3 %", 1 is "100 %"; None is the unknown sign.
    """
    if value is None:
        return Num(UNKNOWN)
    hundred = abs(value) * 100
    digits = 0 if hundred in (0, 100) else 1 if hundred >= 1 else 2 if hundred >= 0.1 else 3
    return Num(f"{value * 100:.{digits}f} %".replace("-", "−"))


def general(value: float | None) -> Num:
    """Format a number: four figures below 10,000, else in full; None as the unknown sign."""
    return Num(UNKNOWN if value is None else f"{value:,.4g}".replace("-", "−") if abs(value) < 1e4 else count(value))


def spoken(interval: Json, digits: int = 3, sign: bool = False) -> Num:
    """Format an interval in words: "0.812 (0.790 to 0.834)"; the unknown sign without a value.

    `interval`: a table of value, low and high; `sign`: a sign before each number.
    """
    form = signed if sign else number
    if interval is None or interval["value"] is None:
        return Num(UNKNOWN)
    value, low, high = (form(interval[key], digits) for key in ("value", "low", "high"))
    return Num(f"{value} ({low} to {high})")


def stacked(interval: Json, digits: int = 3, sign: bool = False) -> Pair | Num:
    """Format an interval in two lines, for a narrow column; the unknown sign without a value.

    `interval`: a table of value, low and high; `sign`: a sign before each number.
    """
    form = signed if sign else number
    if interval is None or interval["value"] is None:
        return Num(UNKNOWN)
    value, low, high = (form(interval[key], digits) for key in ("value", "low", "high"))
    return Pair(value, f"{low} to {high}")


def plural(amount: float, one: str, many: str | None = None) -> str:
    """Format an amount with its noun: `plural(1, "row")` is "1 row", with 2 it is "2 rows".

    `many` is the plural, the noun with an s by default.
    """
    return f"{count(amount)} {one if amount == 1 else many or one + 's'}"


def listed(names: list[str], most: int = 6) -> str:
    """Join names as a sentence does: "a, b and c"; "none" if there are none.

    Beyond `most` it states how many more there are.
    """
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
}
"""What the report calls the models of an evaluation, by their keys."""


def model_name(key: str) -> str:
    """Return the name of an evaluation's model as the report shows it."""
    return MODELS.get(key, key.replace("_", " "))
