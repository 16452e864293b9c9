"""The frame: every listing that a sample of test buys may draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

from scoring.base.errors import FieldViolation, InvalidInput

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Unit:
    listing: str
    seller: str
    category: str
    units: int
    """Units sold, at least 0."""
    value_minor: int
    """Value sold, at least 0."""
    expected_ppm: int
    """Expected probability of a fake, 0 to 1,000,000. It moves the chance of a draw, and biases no estimate."""


@dataclass(frozen=True, slots=True)
class Frame:
    units: tuple[Unit, ...]
    """By listing."""
    digest: str
    """SHA-256 in hex over a line a unit: its fields, separated by tabs."""


def make_frame(units: Sequence[Unit]) -> Frame:
    """Return the frame. Raise InvalidInput if there is no unit, or for a listing that is stated twice."""
    if not units:
        raise InvalidInput([FieldViolation(("FRAME",), "holds no listing")])
    ordered = tuple(sorted(units, key=lambda unit: unit.listing))
    twice = {one.listing for one, other in pairwise(ordered) if one.listing == other.listing}
    if twice:
        raise InvalidInput([FieldViolation(("FRAME",), f"states {name!r} twice") for name in sorted(twice)])
    return Frame(ordered, sha256("".join(map(_spell, ordered)).encode()).hexdigest())


def _spell(unit: Unit) -> str:
    sums = f"{unit.units}\t{unit.value_minor}\t{unit.expected_ppm}"
    return f"{unit.listing}\t{unit.seller}\t{unit.category}\t{sums}\n"
