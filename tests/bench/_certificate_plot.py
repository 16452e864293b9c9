"""Draw the plot of the verdicts' thresholds for the docs: `python -m tests.bench._certificate_plot`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.sensitivity import find_sensitivity, holds_verdict
from scoring.policy.measures import PPM
from scoring.policy.policy import Policy
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from tests.helpers.toys import policy_of, shipped_data

PLOT = Path(__file__).parents[2] / "docs" / "images" / "loss-certificate.svg"
COLOURS = {
    "general": "#1f5fa8",
    "ladder": "#b3541e",
    "general without caution": "#6b8fc0",
    "fixed reserve": "#4a7a3a",
    "none": "#555555",
}
WASH_PPM = range(0, 120_001, 5_000)
STOP_DAYS = range(1, 22)
WIDTH, HEIGHT, LEFT, TOP = 380, 240, 70, 40
Points = list[tuple[float, float]]


def name_by_wash(policy: Policy, assumptions: Assumptions) -> Points:
    found = []
    for ppm in WASH_PPM:
        priced = replace(assumptions, wash_ppm=ppm, aged_account_ppm=ppm)
        turns = find_sensitivity(policy, priced, ["against_faked_history"])["against_faked_history"]
        found.append((ppm / 10_000, (turns.smallest_identity_minor or 0) / 100_000))
    return found


def wash_by_stop(policy: Policy, assumptions: Assumptions) -> Points:
    found = []
    for days in STOP_DAYS:
        low, high = 0, PPM + 1
        while low < high:
            ppm = (low + high) // 2
            priced = replace(assumptions, stop_days=days, wash_ppm=ppm, aged_account_ppm=ppm)
            low, high = (low, ppm) if holds_verdict(policy, priced, history_is_real=False) else (ppm + 1, high)
        found += [(float(days), low / 10_000)] if low <= PPM else []
    return found


def name_by_stop(policy: Policy, assumptions: Assumptions) -> Points:
    found = []
    for days in STOP_DAYS:
        slower = replace(assumptions, stop_days=days)
        price = find_sensitivity(policy, slower, ["unconditional"])["unconditional"].smallest_identity_minor
        found.append((float(days), (price or 0) / 100_000))
    return found


def draw() -> str:
    assumptions = read_assumptions(SHIPPED_ASSUMPTIONS)
    policies = {name: policy_of(shipped_data(name)) for name in ("general", "ladder")}

    def lines_of(points_of: Callable[[Policy, Assumptions], Points]) -> dict[str, Points]:
        return {name: points_of(policy, assumptions) for name, policy in policies.items()}

    price, share = "lowest price of a name, thousand EUR", "lowest cost of a faked sale, % of its value"
    return draw_panels(
        "Where the two verdicts turn, by the general policy and the ladder",
        [
            Panel("against_faked_history", "cost of a faked sale, % of its value", price, lines_of(name_by_wash)),
            Panel("against_faked_history", "stop, days", share, lines_of(wash_by_stop)),
            Panel("unconditional", "stop, days", price, lines_of(name_by_stop)),
        ],
    )


class Panel(NamedTuple):
    title: str
    below: str
    """Label of the horizontal axis."""
    beside: str
    lines: Mapping[str, Points]


def draw_panels(title: str, panels: Sequence[Panel]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {len(panels) * (WIDTH + LEFT) + 20} {HEIGHT + TOP + 60}"'
        ' font-family="sans-serif" font-size="12" role="img">',
        f"<title>{title}</title>",
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate({LEFT + number * (WIDTH + LEFT)} {TOP})">')
        parts += [f'<text x="{WIDTH / 2}" y="-18" text-anchor="middle" font-weight="bold">{panel.title}</text>']
        parts += _draw_panel(panel)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _draw_panel(panel: Panel) -> Sequence[str]:
    lines = {name: points for name, points in panel.lines.items() if points}
    right = max(x for points in lines.values() for x, _ in points)
    top = max(max(y for points in lines.values() for _, y in points) * 1.05, 1)
    parts = [f'<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="#555"/>']
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT + 36}" text-anchor="middle">{panel.below}</text>')
    parts.append(f'<text transform="rotate(-90)" x="{-HEIGHT / 2}" y="-48" text-anchor="middle">{panel.beside}</text>')
    for step in range(5):
        x, y = right * step / 4, top * step / 4
        parts.append(f'<text x="{WIDTH * step / 4:.0f}" y="{HEIGHT + 17}" text-anchor="middle">{x:.0f}</text>')
        parts.append(f'<text x="-6" y="{HEIGHT * (1 - step / 4) + 4:.0f}" text-anchor="end">{y:,.0f}</text>')
    for place, (name, points) in enumerate(lines.items()):
        at = [(x / right * WIDTH, HEIGHT * (1 - y / top), x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        for x, y, across, up in at:
            title = f"<title>{name}: {across:g}, {up:g}</title>"
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{COLOURS[name]}">{title}</circle>')
        parts.append(f'<text x="10" y="{14 + 16 * place}" fill="{COLOURS[name]}">{name}</text>')
    return parts


if __name__ == "__main__":
    PLOT.write_text(draw(), encoding="utf-8")
