"""Damage to certificates: one value somewhere is another, or a part is gone; with the digest made anew, as a forger would."""

import copy
import random
from typing import Any

from scoring.certificate.certificate import digest_certificate


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value of a certificate that is no container."""
    if isinstance(value, dict):
        return [found for key, part in value.items() for found in places(part, (*path, key))]
    if isinstance(value, list):
        return [found for key, part in enumerate(value) for found in places(part, (*path, key))]
    return [path]


def damage(
    certificate: dict[str, Any], where: list[tuple[Any, ...]], chance: random.Random
) -> tuple[dict[str, Any], str]:
    """A copy with one damage, and what it is."""
    found = copy.deepcopy(certificate)
    path = chance.choice(where)
    parent = found
    for key in path[:-1]:
        parent = parent[key]
    value, kind = parent[path[-1]], chance.choice(["other", "gone", "other", "type"])
    if kind == "gone":
        if isinstance(parent, list):
            parent.pop(path[-1])
        else:
            del parent[path[-1]]
    elif kind == "type":
        parent[path[-1]] = [None, [value], 0.5, {}, ""][chance.randrange(5)]
    elif isinstance(value, bool):
        parent[path[-1]] = not value
    elif isinstance(value, int):
        parent[path[-1]] = value + chance.choice([-1, 1, 1, -(10**6), 10**6, chance.randrange(1, 10**9)])
    else:
        parent[path[-1]] = f"{value}x"
    if path[-1:] != ("digest",):
        found["digest"] = digest_certificate(found)
    return found, f"{kind} at {'.'.join(map(str, path))}"


def provable(certificate: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The places whose damage a check must find: all but who accepted a sum, which nothing else states."""
    return [path for path in places(certificate) if path[-1] != "by"]
