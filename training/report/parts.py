"""The parts of a report: plain data that the templates draw. Positions are per cent."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Chip:
    """A short verdict; the words do not need the colour."""

    kind: str
    """good, bad, warn or plain."""
    text: str


@dataclass(frozen=True, slots=True)
class Range:
    text: str
    at: float
    low: float
    high: float
    mark: float | None = None
    rule: float | None = None


@dataclass(frozen=True, slots=True)
class Heat:
    text: str
    share: float
    own: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    text: str
    share: float


@dataclass(frozen=True, slots=True)
class Pair:
    text: str
    below: str


Cell = str | Chip | Range | Heat | Bar | Pair


@dataclass(frozen=True, slots=True)
class Table:
    """Its title states the finding."""

    title: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    fold: str = ""
    """The line that opens the table; empty: open."""


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Command:
    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: str
    """good, warn or bad."""
    title: str
    text: str
    bullets: Sequence[str] = ()
    commands: Sequence[Command] = ()


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Line:
    path: str
    """SVG in a square of 100 by 100, y down."""
    style: str


@dataclass(frozen=True, slots=True)
class RuleLine:
    x1: float
    y1: float
    x2: float
    y2: float
    style: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    style: str
    says: str


Mark = Line | RuleLine | Dot


@dataclass(frozen=True, slots=True)
class LegendKey:
    shape: str
    style: str
    name: str


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Plots:
    plots: Sequence[Plot]
    title: str = ""
    """Stated for small plots that share a scale."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    part: str
    why: str


Block = Table | Text | Bullets | Verdict | Plots | Missing | Markup


@dataclass(frozen=True, slots=True)
class Section:
    key: str
    title: str
    lead: str
    blocks: Sequence[Block]
