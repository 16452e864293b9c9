"""The parts of a report: plain data that the templates draw. Positions are per cent."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen


@frozen
class Chip:
    """A short verdict; the words do not need the colour."""

    kind: str
    """good, bad, warn or plain."""
    text: str


@frozen
class Range:
    text: str
    at: float
    low: float
    high: float
    mark: float | None = None
    rule: float | None = None


@frozen
class Heat:
    text: str
    share: float
    own: bool = False


@frozen
class Bar:
    text: str
    share: float


@frozen
class Pair:
    text: str
    below: str


Cell = str | Chip | Range | Heat | Bar | Pair
Row = list[Cell]


@frozen
class Table:
    """Its title states the finding."""

    title: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    fold: str = ""
    """The line that opens the table; empty: open."""


@frozen
class Text:
    text: str
    quiet: bool = False


@frozen
class Bullets:
    items: Sequence[str]


@frozen
class Command:
    text: str
    command: str


@frozen
class Verdict:
    kind: str
    """good, warn or bad."""
    title: str
    text: str
    bullets: Sequence[str] = ()
    commands: Sequence[Command] = ()


@frozen
class Axis:
    low: float
    high: float
    label: str
    ticks: Sequence[tuple[float, str]]
    """(value, text)."""

    def at(self, value: float) -> float:
        """Return the position, 0 to 100: values beyond an end are at that end."""
        span = self.high - self.low
        return min(max(100 * (value - self.low) / span if span else 50.0, 0.0), 100.0)


@frozen
class Line:
    path: str
    """SVG in a square of 100 by 100, y down."""
    style: str


@frozen
class RuleLine:
    x1: float
    y1: float
    x2: float
    y2: float
    style: str
    says: str = ""


@frozen
class Dot:
    x: float
    y: float
    style: str
    says: str


Mark = Line | RuleLine | Dot


@frozen
class LegendKey:
    shape: str
    style: str
    name: str


@frozen
class Plot:
    title: str
    """The finding."""
    caption: str
    """A hint to the reader; in a small plot, a line under its title."""
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    keys: Sequence[LegendKey] = ()
    small: bool = False


@frozen
class Plots:
    plots: Sequence[Plot]
    title: str = ""
    """Stated for small plots that share a scale."""
    caption: str = ""


@frozen
class Missing:
    part: str
    why: str


Block = Table | Text | Bullets | Verdict | Plots | Missing | Markup
Blocks = list[Block]


@frozen
class Section:
    key: str
    title: str
    lead: str
    blocks: Sequence[Block]


Json = Any


class PartAbsent(LookupError):
    """A part lacks something; the text names it for the reader."""


@frozen
class Reading:
    """The artifact's parts and `gates`, parsed."""

    manifest: Mapping[str, Json]
    evaluation: Mapping[str, Json]
    lineage: Mapping[str, Json]
    certificate: Mapping[str, Json]
    gates: Mapping[str, Json]
    digest: str
    is_champion: bool = False
    """Servers answer by it already."""

    @property
    def study(self) -> str:
        return str(self.manifest["study"])


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


def spoken(interval: JsonObject | None, digits: int = 3, form: Any = number) -> Num:
    """Format an interval in words, as "0.812 (0.790 to 0.834)"; without a value a dash."""
    if interval is None or interval["value"] is None:
        return Num(UNKNOWN)
    value, low, high = (form(interval[key], digits) for key in ("value", "low", "high"))
    return Num(f"{value} ({low} to {high})")


def stacked(interval: JsonObject | None, form: Any = number) -> Pair | Num:
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
