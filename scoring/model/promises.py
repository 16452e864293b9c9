"""The promises of a model's certificate, and those that a study has given up by freeing a feature's direction."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from scoring.base.frozen import frozen
from scoring.features.table import FEATURES, AnyFeature, Feature


@frozen
class Promise:
    name: str
    text: str
    rests_on: tuple[str, ...] = ()
    """Features on whose direction it rests; empty: those that no other promise names."""


PROMISES = (
    Promise("violations", "a confirmed violation never raises points, and an overturned one never lowers them"),
    Promise("clean_orders", "clean orders never lower points", ("exposure", "tenure_days")),
    Promise("waiting", "waiting alone never lowers points, but by the rounding of decay", ("tenure_days",)),
    Promise("identity", "a higher level of identity never lowers points", ("identity_level",)),
)
"""Promises on orders rest on tenure, too: an earlier order lengthens it."""

FREEABLE: Mapping[str, str] = MappingProxyType({"exposure": "exposure", "tenure_days": "tenure"})
"""By feature, the part of the study's `directions` that frees it."""


def free_direction(feature: Feature) -> Feature:
    return replace(feature, direction=0)


def is_freed(feature: AnyFeature) -> bool:
    """Return whether the study gave up the feature's promised direction."""
    return isinstance(feature, Feature) and feature.direction != FEATURES[feature.key].direction


def broken_promises(features: Iterable[AnyFeature]) -> list[Promise]:
    names = {feature.name for feature in features if isinstance(feature, Feature) and is_freed(feature)}
    return [promise for promise in PROMISES if names.intersection(promise.rests_on)]


def state_promises(features: Iterable[AnyFeature]) -> dict[str, object]:
    """Return {"promises": {"held": [...], "given_up": ...}}; empty if all are kept."""
    lost = [promise.name for promise in broken_promises(features)]
    held = [promise.name for promise in PROMISES if promise.name not in lost]
    return {"promises": {"held": held, "given_up": lost}} if lost else {}
