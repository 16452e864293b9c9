"""The promises that a model's certificate stands for, and which of them a study has given up.

Each rests on the directions of features. A study may free the direction of a few of them (`FREEABLE`), as a label that
counts over the window may need; then what rested on it is given up, and the model can never be champion.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from scoring.features.table import FEATURES, AnyFeature, Feature


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise of a certificate."""

    name: str
    text: str
    """The promise in words."""
    rests_on: tuple[str, ...] = ()
    """Names of the features on whose direction it rests, its own first; empty: those that no other promise names."""


PROMISES = (
    Promise("violations", "a confirmed violation never raises points, and an overturned one never lowers them"),
    Promise("clean_orders", "clean orders never lower points", ("exposure", "tenure_days")),
    Promise("waiting", "waiting alone never lowers points, but by the rounding of decay", ("tenure_days",)),
    Promise("identity", "a higher level of identity never lowers points", ("identity_level",)),
)
"""Every promise. Orders rest on tenure, too: one that comes before all others lengthens it."""

FREEABLE: Mapping[str, str] = MappingProxyType({"exposure": "exposure", "tenure_days": "tenure"})
"""Features whose direction a study can free, each with the part of the study's `directions` that frees it."""


def free_direction(feature: Feature) -> Feature:
    """Return a copy of the feature with direction 0: nothing forces how it moves the score."""
    return replace(feature, direction=0)


def is_freed(feature: AnyFeature) -> bool:
    """Return whether a feature of the table has another direction than the table states."""
    return isinstance(feature, Feature) and feature.direction != FEATURES[feature.key].direction


def broken_promises(features: Iterable[AnyFeature]) -> list[Promise]:
    """Return the promises that a model of these features breaks, in table order.

    A promise is broken if the model has a feature that it rests on and leaves its direction free; a feature that is left
    out breaks none.
    """
    names = {feature.name for feature in features if isinstance(feature, Feature) and is_freed(feature)}
    return [promise for promise in PROMISES if names.intersection(promise.rests_on)]


def state_promises(features: Iterable[AnyFeature]) -> dict[str, object]:
    """Return the certificate's part on promises: {"promises": {"held": [...], "given_up": ...}}.

    Empty if all are kept, as in earlier releases.
    """
    lost = [promise.name for promise in broken_promises(features)]
    held = [promise.name for promise in PROMISES if promise.name not in lost]
    return {"promises": {"held": held, "given_up": lost}} if lost else {}
