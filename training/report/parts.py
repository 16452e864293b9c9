"""What a report is made of: blocks of plain data, which the templates draw. Positions in plots are per cent."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Chip:
    """A short verdict: `kind` is good, bad, warn or plain; the words say the same without the colour."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """A table cell with an interval drawn on the column's scale. Positions in per cent; `mark`: a second value."""

    text: str
    at: float
    low: float
    high: float
    mark: float | None = None
    rule: float | None = None


@dataclass(frozen=True, slots=True)
class Heat:
    """A table cell shaded by a share (0 to 1); `own`: on the diagonal."""

    text: str
    share: float
    own: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A table cell with a bar of a share (0 to 1)."""

    text: str
    share: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A table cell of a figure with its interval below it."""

    text: str
    below: str


Cell = str | Chip | Range | Heat | Bar | Pair


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose title states what it finds. `fold`: closed behind this line until opened."""

    title: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    fold: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `quiet`: set apart as a remark."""

    text: str
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences under a title."""

    title: str
    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """Terms with their values; digests and the like are `code`."""

    rows: Sequence[tuple[str, str]]
    code: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A command to copy, and what it does."""

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision. `kind`: good, warn or bad."""

    kind: str
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

    def at(self, value: float) -> float:
        """Per cent of the way from low to high, kept inside."""
        span = self.high - self.low
        return min(max(100 * (value - self.low) / span if span else 50.0, 0.0), 100.0)


@dataclass(frozen=True, slots=True)
class Line:
    """A curve or an area: an SVG path in a square of 100 by 100, y down."""

    path: str
    style: str
    fill: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A bar: its left and top, width and height in per cent, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    style: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line: a whisker, a threshold, the present."""

    x1: float
    y1: float
    x2: float
    y2: float
    style: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point: round, or a diamond, square or ring, so that colour is not needed to tell."""

    x: float
    y: float
    style: str
    shape: str = "round"
    says: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A word in the plot, moved by `dx` and `dy` pixels from its place."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    dx: float = 0
    dy: float = 0


Mark = Line | Box | Rule | Dot | Label


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: the mark as it is drawn, and its name."""

    shape: str
    style: str
    name: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure: `title` states the finding, `caption` says what to look for. `height` and `left` (the room for the ticks)
    in pixels. `small`: one of many; its caption is a line under its title.
    """

    title: str
    caption: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    keys: Sequence[Key] = ()
    height: int = 250
    left: int = 46
    small: bool = False
    grid: str = "both"


@dataclass(frozen=True, slots=True)
class Plots:
    """Figures side by side where there is room; `wide`: each over the whole width."""

    plots: Sequence[Plot]
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Multiples:
    """Many small figures under one title; `fold`: closed behind this line until opened."""

    title: str
    caption: str
    plots: Sequence[Plot]
    fold: str = ""


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
    """What was left out of a section, each with why."""

    parts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Faulty:
    """What an error of this program kept out of a section, each with the error's type."""

    parts: Sequence[tuple[str, str]]


Block = Table | Text | Bullets | Facts | Command | Verdict | Tiles | Plots | Multiples | Cards | Missing | Faulty


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page: `key` is its anchor, `lead` what it is for."""

    key: str
    title: str
    lead: str
    blocks: Sequence[Block] = field(default_factory=tuple)
