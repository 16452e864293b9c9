"""The promises of a model's certificate, and the promises that a study has given up.

Each rests on the directions of features. A study may free the direction of a few features (`FREEABLE`), as a label that
counts over the window may need. It then gives up the promises on these directions, and the model can never be champion.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from scoring.features.table import FEATURES, AnyFeature, Feature


@dataclass(frozen=True, slots=True)
class Promise:
    name: str
    text: str
    rests_on: tuple[str, ...] = ()
    """Names of the features on whose direction it rests, its own first; empty: the features that no other promise
    names.
    """


PROMISES = (
    Promise("violations", "a confirmed violation never raises points, and an overturned one never lowers them"),
    Promise("clean_orders", "clean orders never lower points", ("exposure", "tenure_days")),
    Promise("waiting", "waiting alone never lowers points, but by the rounding of decay", ("tenure_days",)),
    Promise("identity", "a higher level of identity never lowers points", ("identity_level",)),
)
"""Promises on orders rest on tenure, too: an order before all others lengthens it."""

FREEABLE: Mapping[str, str] = MappingProxyType({"exposure": "exposure", "tenure_days": "tenure"})
"""Features whose direction a study can free, each with the part of the study's `directions` that frees it."""


def free_direction(feature: Feature) -> Feature:
    return replace(feature, direction=0)


def is_freed(feature: AnyFeature) -> bool:
    return isinstance(feature, Feature) and feature.direction != FEATURES[feature.key].direction


def broken_promises(features: Iterable[AnyFeature]) -> list[Promise]:
    """Return the promises that a model of these features breaks, in table order.

    A model breaks a promise if it has a feature of the promise with a freed direction; an absent feature breaks none.
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
