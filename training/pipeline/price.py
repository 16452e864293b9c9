"""The price of each promise: the model beside one that differs from it in the directions of that promise alone."""

from dataclasses import replace
from typing import Any

import numpy as np

from scoring.arrays import Floats
from scoring.features.table import FEATURES, AnyFeature, Feature
from scoring.model.promises import FREEABLE, PROMISES, free_direction
from training.evaluation.arrays import plain
from training.evaluation.resampling import bootstrap_auc
from training.fitting.fit import fit_lightgbm
from training.observation.snapshots import Snapshot
from training.study.definition import Study

RESAMPLES = 200
"""Draws of the bootstrap."""


def price_promises(study: Study, rows: Snapshot, test: Snapshot, raw: Floats | None = None) -> list[dict[str, Any]]:
    """Return a table for each promise, as JSON values: what keeping it costs in AUC.

    As served, with 95 % intervals by seller. `rows`: to train on; `raw`: scores of the `test` rows by the study's model
    of these `rows`, which is trained if they are not given. Each promise is priced by its own direction. Of each,
    `difference` is the AUC of the model that keeps it (`fixed`) less that of the one that does not (`free`); `kept`:
    whether the study keeps it. Promises whose features are the same for all rows cost nothing and are left out.
    """

    def scores(features: tuple[AnyFeature, ...]) -> Floats:
        booster = fit_lightgbm(rows, replace(study, features=features))
        return np.asarray(booster.predict(test.x, raw_score=True, num_threads=1), dtype=np.float64)

    named = {name for promise in PROMISES for name in promise.rests_on}
    found = []
    for promise in PROMISES:
        own = promise.rests_on[:1]
        places = [
            k
            for k, feature in enumerate(study.features)
            if isinstance(feature, Feature)
            and (feature.name in own if own else feature.name not in named)
            and np.ptp(rows.x[:, k]) > 0
        ]
        if not places:
            continue
        raw = scores(study.features) if raw is None else raw
        kept = any(study.features[k].direction for k in places)
        theirs = scores(_turned(study.features, places, free=kept))
        fixed, free = (raw, theirs) if kept else (theirs, raw)
        auc = bootstrap_auc(
            {"fixed": fixed, "free": free}, test.bad, test.seller, [study.model.seed, 77], RESAMPLES, test.weight
        )
        direction = "".join(f": the direction of {FREEABLE[name]}" for name in own if name in FREEABLE)
        row = {"promise": promise.text + direction, "kept": kept, "fixed": auc["fixed"], "free": auc["free"]}
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
