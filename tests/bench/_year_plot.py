"""The plot of the simulated year: bars by regime, as SVG of plain shapes that is readable in light and dark."""

from collections.abc import Mapping
from html import escape

from tests.bench._year.year import YearResult

WIDTH, LEFT, BAR, GAP = 760, 190, 16, 34
PANELS = (
    ("buyers lose, of what runners sold", "#b3261e", lambda r: r.buyers_loss_minor / max(r.run_minor, 1)),
    ("clean sellers hit wrongly", "#8a5a00", lambda r: r.wrongly),
    ("newcomers' first month sold", "#1b6e3c", lambda r: r.newcomers_month),
)


def plot(results: Mapping[str, YearResult]) -> str:
    """Three rows of bars, one bar a regime, from 0 to 100 %."""
    panel = len(results) * (BAR + 8) + GAP
    height = panel * len(PANELS) + 10
    full = WIDTH - LEFT - 70
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' font-family="sans-serif" font-size="13">',
        "<title>A simulated year under five terms of trade</title>",
        "<style>text{fill:#222}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>",
    ]
    for place, (title, colour, value_of) in enumerate(PANELS):
        top = place * panel + 20
        lines.append(f'<text x="8" y="{top}" font-weight="bold">{escape(title)}</text>')
        for row, (name, found) in enumerate(results.items()):
            share = value_of(found)
            y = top + 10 + row * (BAR + 8)
            lines += [
                f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{max(full * share, 1):.1f}" height="{BAR}" fill="{colour}"/>',
                f'<text x="{LEFT + full * share + 6:.1f}" y="{y + 13}">{share:.1%}</text>',
            ]
    return "\n".join([*lines, "</svg>", ""])
