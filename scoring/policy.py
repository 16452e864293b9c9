"""The policy: what a marketplace makes of points, as data with a digest. Cut-offs, the thin-file floor, badges."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from scoring.canonical import canonical_json
from scoring.enums import RATED_TIERS, Tier
from scoring.errors import PolicyRefused
from scoring.model.scale import MAX_POINTS


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that holds together. `cut_offs`: lowest points of each rated tier but the lowest one.

    `thin_file_orders` and `thin_file_days`: settled orders and days of tenure below which a seller without a confirmed
    violation is UNRATED. `clear_days`: day-ends that the tier looks back. `badges` by tier, and one for UNKNOWN.
    """

    name: str
    version: int
    cut_offs: Mapping[Tier, int]
    thin_file_orders: int
    thin_file_days: int
    clear_days: int
    badges: Mapping[Tier | None, str]
    digest: str

    def tier(self, points: int) -> Tier:
        """The band of points: with cut-offs 500, 600, 700, `tier(599) is Tier.STANDARD`."""
        return max((t for t, cut_off in self.cut_offs.items() if points >= cut_off), default=RATED_TIERS[0])


def policy_of(data: Mapping[str, Any]) -> Policy:
    """A policy from its data (a TOML file as a mapping). PolicyRefused names every wrong part."""
    wrong = [text for text in _check(data) if text]
    if wrong:
        raise PolicyRefused("the policy does not hold together: " + "; ".join(wrong))
    badges: dict[Tier | None, str] = {tier: data["badges"][tier.name.lower()] for tier in Tier}
    badges[None] = data["badges"]["unknown"]
    return Policy(
        name=data["name"],
        version=data["version"],
        cut_offs=MappingProxyType({tier: data["cut_offs"][tier.name.lower()] for tier in RATED_TIERS[1:]}),
        thin_file_orders=data["thin_file"]["settled_orders"],
        thin_file_days=data["thin_file"]["tenure_days"],
        clear_days=data["clear_days"],
        badges=MappingProxyType(badges),
        digest=sha256(canonical_json(data)).hexdigest(),
    )


_SHAPE: Mapping[str, type | tuple[str, ...]] = {
    "name": str,
    "version": int,
    "clear_days": int,
    "cut_offs": tuple(t.name.lower() for t in RATED_TIERS[1:]),
    "thin_file": ("settled_orders", "tenure_days"),
    "badges": (*(t.name.lower() for t in Tier), "unknown"),
}


def _check(data: Mapping[str, Any]) -> list[str]:
    """Every wrong part of a policy's data, in words."""
    wrong = [f"{name} is not a part of a policy" for name in data if name not in _SHAPE]
    for name, shape in _SHAPE.items():
        value = data.get(name)
        if isinstance(shape, type):
            if type(value) is not shape:
                wrong.append(f"{name} must be given as {'text' if shape is str else 'a whole number'}")
        elif not isinstance(value, Mapping) or set(value) != set(shape):
            wrong.append(f"{name} must give exactly {', '.join(shape)}")
        elif not all(type(v) is (str if name == "badges" else int) for v in value.values()):
            wrong.append(f"{name} must hold {'texts' if name == 'badges' else 'whole numbers'}")
    if wrong:
        return wrong
    edges = [data["cut_offs"][tier.name.lower()] for tier in RATED_TIERS[1:]]
    if not all(low < high for low, high in zip([0, *edges], [*edges, MAX_POINTS + 1], strict=True)):
        wrong.append("cut_offs must rise from tier to tier, within 1 to 1000")
    if not 0 <= data["clear_days"] <= 60:
        wrong.append("clear_days must be 0 to 60")
    if min(data["thin_file"].values()) < 0:
        wrong.append("thin_file must not be negative")
    return wrong
