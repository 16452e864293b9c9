"""Small inline SVG plots for the notebooks, on the report's own axes and curves; no plotting library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from training.report.drawing import axis, band, curve

COLOURS = ("#1f5fa8", "#c2571a")


@dataclass(frozen=True, slots=True)
class Plot:
    """What a notebook shows as a picture, and a script does not."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


def plot(
    lines: dict[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    between: tuple[Sequence[float], Sequence[float], Sequence[float]] | None = None,
) -> Plot:
    """Curves (xs, ys) by name, over the area `between` (xs, low, high)."""
    xs = [value for points, _ in lines.values() for value in points]
    ys = [value for _, points in lines.values() for value in points]
    x, y = axis(xs, x_label), axis([*ys, *(between[1] if between else []), *(between[2] if between else [])], y_label)
    drawn = []
    if between:
        drawn.append(f'<path d="{band(*between, x, y, "").path}" fill="{COLOURS[0]}" opacity=".15"/>')
    for number, (name, (across, up)) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        drawn.append(f'<path d="{curve(across, up, x, y, "").path}" fill="none" stroke="{colour}" stroke-width=".8"/>')
        drawn.append(f'<text x="3" y="{5 * number - 6}" fill="{colour}">{escape(name)}</text>')
    for value, text in x.ticks:
        drawn.append(f'<text x="{x.at(value)}" y="106" text-anchor="middle">{text}</text>')
    for value, text in y.ticks:
        drawn.append(f'<text x="-2" y="{101 - y.at(value)}" text-anchor="end">{text}</text>')
        drawn.append(f'<path d="M0 {100 - y.at(value)}H100" stroke="#ddd" stroke-width=".3"/>')
    drawn.append(f'<text x="50" y="113" text-anchor="middle">{escape(x_label)}</text>')
    drawn.append(f'<text x="-14" y="-12">{escape(y_label)}</text>')
    return Plot(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -18 122 134" width="420" font-size="4.2"'
        f' font-family="sans-serif">{"".join(drawn)}</svg>'
    )
