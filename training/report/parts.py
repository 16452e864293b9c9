"""The parts of a report: blocks of plain data, which the templates draw. Positions in plots are per cent."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Chip:
    """A short verdict; the words state the same without the colour."""

    kind: str
    """The colour: good, bad, warn or plain."""
    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """A table cell with an interval drawn on the column's scale. Positions in per cent."""

    text: str
    at: float
    """The position of the value."""
    low: float
    """The position of the interval's low end."""
    high: float
    """The position of the interval's high end."""
    mark: float | None = None
    """The position of a second value; None: none."""
    rule: float | None = None
    """The position of the column's rule, such as zero; None: none."""


@dataclass(frozen=True, slots=True)
class Heat:
    """A table cell shaded by a share."""

    text: str
    share: float
    """The share, 0 to 1."""
    own: bool = False
    """Whether the cell is on the diagonal."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A table cell with a bar of a share."""

    text: str
    share: float
    """The share, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A table cell of a figure with its interval below it."""

    text: str
    below: str


Cell = str | Chip | Range | Heat | Bar | Pair


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose title states what it finds."""

    title: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    fold: str = ""
    """The line behind which the table is closed until opened; empty: it is open."""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    quiet: bool = False
    """Whether it is set apart as a remark."""


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences under a title."""

    title: str
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """Terms with their values."""

    rows: Sequence[tuple[str, str]]
    """(term, value), in order."""
    code: bool = False
    """Whether the values are digests and the like."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command to copy."""

    text: str
    """What it does."""
    command: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on a model."""

    kind: str
    """The colour: good, warn or bad."""
    title: str
    text: str
    bullets: Sequence[str] = ()
    commands: Sequence[Command] = ()


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure with its interval and what it means."""

    name: str
    value: str
    interval: str
    text: str


@dataclass(frozen=True, slots=True)
class Tiles:
    """Headline figures side by side."""

    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`, in the unit of `label`."""

    low: float
    high: float
    label: str
    ticks: Sequence[tuple[float, str]]
    """(value, text) of each tick."""

    def at(self, value: float) -> float:
        """Return the position of a value in per cent of the axis from low to high, within 0 and 100."""
        span = self.high - self.low
        return min(max(100 * (value - self.low) / span if span else 50.0, 0.0), 100.0)


@dataclass(frozen=True, slots=True)
class Line:
    """A curve or an area."""

    path: str
    """An SVG path in a square of 100 by 100, y down."""
    style: str
    fill: bool = False
    """Whether it is an area."""


@dataclass(frozen=True, slots=True)
class Box:
    """A bar. Positions and sizes in per cent."""

    x: float
    """Its left."""
    y: float
    """Its top."""
    width: float
    height: float
    style: str
    says: str = ""
    """What it shows when pointed at."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line: a whisker, a threshold, the present. Positions in per cent."""

    x1: float
    y1: float
    x2: float
    y2: float
    style: str
    says: str = ""
    """What it shows when pointed at."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point. Positions in per cent."""

    x: float
    y: float
    style: str
    shape: str = "round"
    """Round, or a diamond, square or ring, so that colour is not needed to distinguish points."""
    says: str = ""
    """What it shows when pointed at."""


@dataclass(frozen=True, slots=True)
class Label:
    """A word in the plot. Positions in per cent."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    dx: float = 0
    """Pixels by which it is moved to the right."""
    dy: float = 0
    """Pixels by which it is moved down."""


Mark = Line | Box | Rule | Dot | Label


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: the mark as it is drawn, and its name."""

    shape: str
    style: str
    name: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure."""

    title: str
    """What it finds."""
    caption: str
    """What to look for; of a small one, a line under its title."""
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    keys: Sequence[Key] = ()
    height: int = 250
    """In pixels."""
    left: int = 46
    """Pixels left for the ticks of the upright axis."""
    small: bool = False
    """Whether it is one of many."""
    grid: str = "both"


@dataclass(frozen=True, slots=True)
class Plots:
    """Figures side by side where they fit."""

    plots: Sequence[Plot]
    wide: bool = False
    """Whether each is over the whole width."""


@dataclass(frozen=True, slots=True)
class Multiples:
    """Many small figures under one title."""

    title: str
    caption: str
    plots: Sequence[Plot]
    fold: str = ""
    """The line behind which they are closed until opened; empty: they are open."""


@dataclass(frozen=True, slots=True)
class Card:
    """One of many alike: a heading, a line of figures, and facts in their order."""

    title: str
    text: str
    chip: Chip
    rows: Sequence[tuple[str, str]]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards under one title."""

    title: str
    caption: str
    cards: Sequence[Card]


@dataclass(frozen=True, slots=True)
class Missing:
    """What was left out of a section: (part, reason) of each."""

    parts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Faulty:
    """What an error of this program kept out of a section: (part, type of the error) of each."""

    parts: Sequence[tuple[str, str]]


Block = Table | Text | Bullets | Facts | Command | Verdict | Tiles | Plots | Multiples | Cards | Missing | Faulty


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page."""

    key: str
    """Its anchor."""
    title: str
    lead: str
    """What it is for."""
    blocks: Sequence[Block] = field(default_factory=tuple)
