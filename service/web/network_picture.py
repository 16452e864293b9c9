import math
from html import escape

from sellertrust.v1.network_service_pb2 import GetSellerNetworkResponse

SIZE = 640
RADIUS = 9
COLOURS = {"asked": "#1f5fbf", "violator": "#b3261e", "other": "#5f6368", "link": "#9aa0a6"}


def draw_network(network: GetSellerNetworkResponse) -> str:
    """Draw sellers and links as SVG.

    Violators are squares; suspended sellers, and the seller in the middle, are filled.
    """
    places = _place(network)
    parts = []
    for link in network.links:
        (x1, y1), (x2, y2) = places[link.seller], places[link.other]
        width = 1 + 3 * link.strength_ppm / 1_000_000
        parts.append(
            f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{COLOURS["link"]}"'
            f' stroke-width="{width:.1f}"/>'
        )
    for seller in network.sellers:
        x, y = places[seller.seller]
        kind = "violator" if seller.violation else "other" if seller.steps else "asked"
        name = escape(seller.seller.rpartition("/")[2])
        style = f'fill="{COLOURS[kind] if seller.suspended or not seller.steps else "#fff"}" stroke="{COLOURS[kind]}"'
        shape = (
            f'<rect x="{x - RADIUS:.0f}" y="{y - RADIUS:.0f}" width="{2 * RADIUS}" height="{2 * RADIUS}"'
            if seller.violation
            else f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{RADIUS}"'
        )
        parts.append(
            f'{shape} {style} stroke-width="2"><title>{name}{" confirmed violation" * bool(seller.violation)}</title></'
            f"{'rect' if seller.violation else 'circle'}>"
            f'<text x="{x:.0f}" y="{y + 2 * RADIUS + 4:.0f}" text-anchor="middle" font-size="11">{name[:24]}</text>'
        )
    label = f"{len(network.sellers)} sellers, {len(network.links)} links"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" role="img" aria-label="{label}"'
        f' font-family="sans-serif">{"".join(parts)}</svg>'
    )


def _place(network: GetSellerNetworkResponse) -> dict[str, tuple[float, float]]:
    by_step: dict[int, list[str]] = {}
    for seller in network.sellers:
        by_step.setdefault(seller.steps, []).append(seller.seller)
    farthest, middle = max([*by_step, 1]), SIZE / 2
    places = {}
    for step, names in by_step.items():
        reach = step * (middle - 40) / farthest
        for number, name in enumerate(names):
            angle = 2 * math.pi * number / len(names) + step / 2
            places[name] = (middle + reach * math.cos(angle), middle + reach * math.sin(angle))
    return places
