import math
from collections.abc import Sequence
from html import escape

from scoring.base.time import DAY, format_day
from sellertrust.v1.network_service_pb2 import GetSellerNetworkResponse

SIZE = 640
HEIGHT, MARGIN, MOST_POINTS = 220, 40, 1_000
GREY, DARK, RED, BLUE = "#9aa0a6", "#5f6368", "#b3261e", "#1f5fbf"


def draw_network(network: GetSellerNetworkResponse) -> str:
    """Return SVG. Violators are squares; suspended sellers, and the one in the middle, are filled."""
    places = _find_places(network)
    parts = [
        f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{GREY}"'
        f' stroke-width="{1 + 3 * link.strength_ppm / 1_000_000:.1f}"/>'
        for link in network.links
        for (x1, y1), (x2, y2) in [(places[link.seller], places[link.other])]
    ]
    for seller in network.sellers:
        x, y = places[seller.seller]
        name = seller.seller.rpartition("/")[2]
        colour = RED if seller.violation else DARK if seller.steps else BLUE
        fill = colour if seller.suspended or not seller.steps else "#fff"
        shape, note = f'circle cx="{x:.0f}" cy="{y:.0f}" r="9"', ""
        if seller.violation:
            shape, note = f'rect x="{x - 9:.0f}" y="{y - 9:.0f}" width="18" height="18"', " confirmed violation"
        parts.append(
            f'<{shape} fill="{fill}" stroke="{colour}" stroke-width="2"><title>{escape(name + note)}</title>'
            f"</{shape.partition(' ')[0]}>{_draw_text(x, y + 22, name[:24])}"
        )
    return _frame(SIZE, f"{len(network.sellers)} sellers, {len(network.links)} links", parts)


def _find_places(network: GetSellerNetworkResponse) -> dict[str, tuple[float, float]]:
    """Return each seller's (x, y) on circles around the middle, farther for each step."""
    by_step: dict[int, list[str]] = {}
    for seller in network.sellers:
        by_step.setdefault(seller.steps, []).append(seller.seller)
    farthest, middle = max([*by_step, 1]), SIZE / 2
    places = {}
    for step, names in by_step.items():
        reach = step * (middle - MARGIN) / farthest
        for number, name in enumerate(names):
            angle = 2 * math.pi * number / len(names) + step / 2
            places[name] = (middle + reach * math.cos(angle), middle + reach * math.sin(angle))
    return places


def draw_points(seller: str, samples: Sequence[tuple[int, int | None]]) -> str:
    """Return SVG of two or more (time in microseconds, points)."""
    begin, end = samples[0][0], samples[-1][0]
    rated = [
        (
            MARGIN + (SIZE - 2 * MARGIN) * (time - begin) / (end - begin),
            HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * points / MOST_POINTS,
        )
        for time, points in samples
        if points is not None
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in rated)
    parts = [
        f'<path d="M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{SIZE - MARGIN}" fill="none" stroke="{GREY}"/>',
        f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{BLUE}"/>' for x, y in rated),
        _draw_text(SIZE / 2, MARGIN / 2, seller),
        _draw_text(MARGIN / 2, MARGIN + 4, str(MOST_POINTS)),
        _draw_text(MARGIN / 2, HEIGHT - MARGIN + 4, "0"),
        _draw_text(MARGIN, HEIGHT - MARGIN / 2, format_day(begin // DAY)),
        _draw_text(SIZE - MARGIN, HEIGHT - MARGIN / 2, format_day(end // DAY)),
    ]
    return _frame(HEIGHT, f"Points of {seller}", parts)


def _draw_text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" font-size="11">{escape(text)}</text>'


def _frame(height: int, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {height}" role="img" aria-label="{escape(label)}"'
        f' font-family="sans-serif">{"".join(parts)}</svg>'
    )
