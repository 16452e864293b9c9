import math

from sellertrust.v1.network_service_pb2 import GetSellerNetworkResponse
from service.web.frame.rendering import templates

SIZE = 640


def draw_network(network: GetSellerNetworkResponse) -> str:
    """Return SVG. Violators are squares; suspended sellers, and the one in the middle, are filled."""
    return templates().get_template("network.svg").render(network=network, places=_place(network), size=SIZE)


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
