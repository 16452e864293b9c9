"""Policies for tests: the shipped one with parts of their own."""

import copy
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy

SHIPPED = Path(__file__).parents[3] / "service" / "policy" / "default.toml"
SEVERITIES = ("minor", "moderate", "major", "critical")

POINTS = {
    "counterfeit": (1, 4, 12, 24),
    "ip": (1, 3, 8, 16),
    "safety": (1, 4, 12, 24),
    "quality": (1, 2, 4, 8),
    "restricted": (1, 4, 12, 24),
    "integrity": (1, 3, 8, 16),
    "service": (0, 1, 2, 4),
    "disclosure": (1, 1, 2, 4),
}


def standing() -> dict[str, Any]:
    """A table of standing: an incident gives at most 24 points, for 365 days."""
    return {
        "expiry_days": 365,
        "incident_cap": 24,
        "points": {name: dict(zip(SEVERITIES, points, strict=True)) for name, points in POINTS.items()},
        "at_most": {"trusted": 2, "standard": 6, "probation": 12},
    }


def data(**parts: Any) -> dict[str, Any]:
    """The data of the shipped policy without its standing, by round cut-offs, with other parts in place or beside."""
    shipped = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    del shipped["standing"]
    return copy.deepcopy(shipped | {"cut_offs": {"standard": 500, "trusted": 600, "exemplary": 700}} | parts)


@cache
def with_standing() -> Policy:
    """The shipped policy with a table of standing."""
    return parse_policy(data(standing=standing()))
