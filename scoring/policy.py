"""The policy: how points become tiers and badges, as data with a digest."""

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
    """A valid policy."""

    name: str
    version: int
    cut_offs: Mapping[Tier, int]
    """Lowest points of each rated tier but the lowest one."""
    thin_file_orders: int
    """Settled orders below which a seller without a confirmed violation is UNRATED."""
    thin_file_days: int
    """Days of tenure below which a seller without a confirmed violation is UNRATED."""
    clear_days: int
    """Number of past day-ends whose points bound the tier."""
    badges: Mapping[Tier | None, str]
    """Badge of each tier; that of None is shown while the state is UNKNOWN."""
    digest: str
    """SHA-256 of the policy's canonical JSON, in hex."""

    def tier(self, points: int) -> Tier:
        """Return the tier of points: with cut-offs 500, 600, 700, `tier(599) is Tier.STANDARD`."""
        return max((t for t, cut_off in self.cut_offs.items() if points >= cut_off), default=RATED_TIERS[0])


def parse_policy(data: Mapping[str, Any]) -> Policy:
    """Return the policy that a mapping (a TOML file's data) states. PolicyRefused names every wrong part."""
    errors = [text for text in _find_errors(data) if text]
    if errors:
        raise PolicyRefused("the policy does not hold together: " + "; ".join(errors))
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


def _find_errors(data: Mapping[str, Any]) -> list[str]:
    """Return a description of every wrong part of a policy's data."""
    errors = [f"{name} is not a part of a policy" for name in data if name not in _SHAPE]
    for name, shape in _SHAPE.items():
        value = data.get(name)
        if isinstance(shape, type):
            if type(value) is not shape:
                errors.append(f"{name} must be given as {'text' if shape is str else 'a whole number'}")
        elif not isinstance(value, Mapping) or set(value) != set(shape):
            errors.append(f"{name} must give exactly {', '.join(shape)}")
        elif not all(type(v) is (str if name == "badges" else int) for v in value.values()):
            errors.append(f"{name} must hold {'texts' if name == 'badges' else 'whole numbers'}")
    if errors:
        return errors
    cut_offs = [data["cut_offs"][tier.name.lower()] for tier in RATED_TIERS[1:]]
    if not all(low < high for low, high in zip([0, *cut_offs], [*cut_offs, MAX_POINTS + 1], strict=True)):
        errors.append("cut_offs must rise from tier to tier, within 1 to 1000")
    if not 0 <= data["clear_days"] <= 60:
        errors.append("clear_days must be 0 to 60")
    if min(data["thin_file"].values()) < 0:
        errors.append("thin_file must not be negative")
    return errors
