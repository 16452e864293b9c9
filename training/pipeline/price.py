"""The price of each promise: the model beside one that differs from it in the directions of that promise alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from scoring.arrays import Floats
from scoring.features.table import FEATURES, AnyFeature, Feature
from scoring.model.promises import free_direction
from training.evaluation.arrays import plain
from training.evaluation.resampling import bootstrap_auc
from training.fitting.fit import fit_lightgbm
from training.observation.snapshots import Snapshot
from training.study.definition import Study

RESAMPLES = 200
"""Draws of the bootstrap."""

OTHERS = frozenset({"exposure", "tenure_days", "identity_level"})
"""Features whose directions are promises of their own."""
PRICED: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("a confirmed violation never raises points", lambda name: name not in OTHERS),
    ("clean orders never lower points: the direction of exposure", lambda name: name == "exposure"),
    ("waiting never lowers points: the direction of tenure", lambda name: name == "tenure_days"),
    ("a higher level of identity never lowers points", lambda name: name == "identity_level"),
)
"""Promises with the names of the features whose directions each needs, of those of the table."""


def price_promises(study: Study, rows: Snapshot, test: Snapshot, raw: Floats) -> list[dict[str, Any]]:
    """Return what each promise costs in AUC as served, with 95 % intervals by seller, as JSON values.

    `rows`: to train the other model on; `raw`: the candidate's scores of the `test` rows. Of each promise, `difference`
    is the AUC of the model that keeps it (`fixed`) less that of the one that does not (`free`); `kept`: whether the
    candidate keeps it. Promises whose features are the same for all rows cost nothing and are left out.
    """
    found = []
    for text, concerns in PRICED:
        places = [
            k
            for k, feature in enumerate(study.features)
            if isinstance(feature, Feature) and concerns(feature.name) and np.ptp(rows.x[:, k]) > 0
        ]
        if not places:
            continue
        kept = any(study.features[k].direction for k in places)
        other = fit_lightgbm(rows, replace(study, features=_turned(study.features, places, free=kept)))
        theirs = np.asarray(other.predict(test.x, raw_score=True, num_threads=1))
        fixed, free = (raw, theirs) if kept else (theirs, raw)
        scores = {"fixed": fixed, "free": free}
        auc = bootstrap_auc(scores, test.bad, test.seller, [study.model.seed, 77], RESAMPLES, test.weight)
        row = {"promise": text, "kept": kept, "fixed": auc["fixed"], "free": auc["free"]}
        found.append(row | {"difference": auc["fixed-free"]})
    rounded: list[dict[str, Any]] = plain(found)
    return rounded


def _turned(features: tuple[AnyFeature, ...], places: list[int], *, free: bool) -> tuple[AnyFeature, ...]:
    """Return the features; those at `places` are freed, or have the table's direction again."""

    def turned(place: int, feature: AnyFeature) -> AnyFeature:
        if place not in places or not isinstance(feature, Feature):
            return feature
        return free_direction(feature) if free else FEATURES[feature.key]

    return tuple(turned(place, feature) for place, feature in enumerate(features))
