"""The plan: each listing's probability of a draw, and the listings that a public seed draws.

All arithmetic is in integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isqrt

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.errors import invalid
from scoring.sampling.frame import PPM, Frame, Unit

PPB = 1_000_000_000
FLOOR_PPM = 400_000
"""Share of the budget that is drawn with equal probabilities, whatever is expected of a listing."""

MAX_SEED = 200


@dataclass(frozen=True, slots=True)
class DrawnUnit:
    unit: Unit
    probability_ppb: int
    """The probability of its draw, in parts per billion."""


@dataclass(frozen=True, slots=True)
class Plan:
    frame: Frame
    seed: str
    budget: int
    drawn: tuple[DrawnUnit, ...]
    """As many as the budget, by listing."""


def draw_plan(frame: Frame, seed: str, budget: int) -> Plan:
    """Draw a plan by a seed that is published after the frame's digest.

    Raise InvalidInput unless 1 <= budget <= number of listings, and the seed has 1 to MAX_SEED characters.
    """
    if not 1 <= budget <= len(frame.units):
        raise invalid("--budget", f"must be from 1 to {len(frame.units):,}, the listings of the frame")
    if not 1 <= len(seed) <= MAX_SEED or not seed.isprintable():
        raise invalid("--seed", f"must have 1 to {MAX_SEED} printable characters")
    chances = find_probabilities(frame.units, budget)
    places = draw(frame, seed, chances)
    return Plan(frame, seed, budget, tuple(DrawnUnit(frame.units[place], chances[place]) for place in places))


def draw(frame: Frame, seed: str, chances: Sequence[int]) -> list[int]:
    """Return the places of the listings drawn, ascending; `chances` in parts per billion, with a whole sum.

    The listings stand in a row by category, then by `draw_key`, each as long as its chance. The key of no listing gives
    a start. A listing is drawn if a whole number ends in it, so each category gets its due number, give or take one.
    """
    keys = [draw_key(seed, frame.digest, unit.listing) for unit in frame.units]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    order.sort(key=lambda place: frame.units[place].category)
    start = int.from_bytes(draw_key(seed, frame.digest, "")[:8], "big") % PPB
    return [int(place) for place in draw_along(np.array(order), start, np.array(chances))]


def draw_along(order: Ints, start: int, chances: Ints) -> Ints:
    """Return the places drawn, ascending, of a row in this order."""
    passed = np.cumsum(np.concatenate([[start], chances[order]])) // PPB
    return np.sort(order[np.diff(passed) > 0])


def draw_key(seed: str, frame_digest: str, listing: str) -> bytes:
    """Return the SHA-256 by which listings of a category are put in the order of the draw."""
    return sha256(f"{seed}\n{frame_digest}\n{listing}".encode()).digest()


def find_probabilities(units: Sequence[Unit], budget: int) -> list[int]:
    """Return each unit's probability in parts per billion; they sum to budget x PPB exactly, and each is above 0.

    An equal part is FLOOR_PPM of the budget. The rest is proportional to size x sqrt(f x (1 - f)). f: the expected
    probability. Size: the mean of three shares, of listings, units and value. Worked: two listings alike and a budget
    of 1: half a billion each.
    """
    floor = budget * PPB * FLOOR_PPM // PPM // len(units)
    weights = _weigh(units)
    chances = [0] * len(units)
    open_places = list(range(len(units)))
    while open_places:
        fixed = (len(units) - len(open_places)) * PPB
        rest = budget * PPB - fixed - floor * len(open_places)
        total = sum(weights[place] for place in open_places)
        for place in open_places:
            chances[place] = floor + (rest * weights[place] // total if total else rest // len(open_places))
        certain = {place for place in open_places if chances[place] >= PPB}
        for place in certain:
            chances[place] = PPB
        open_places = [place for place in open_places if place not in certain]
        if not certain:
            break
    missing = budget * PPB - sum(chances)
    for place in open_places[:missing]:
        chances[place] += 1
    return chances


def _weigh(units: Sequence[Unit]) -> list[int]:
    all_units, all_value = sum(unit.units for unit in units) or 1, sum(unit.value_minor for unit in units) or 1
    listings = len(units)
    return [
        isqrt(unit.expected_ppm * (PPM - unit.expected_ppm))
        * (
            all_units * all_value
            + unit.units * listings * all_value
            + unit.value_minor * listings * all_units
        )
        for unit in units
    ]  # fmt: skip
