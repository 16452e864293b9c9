"""The choice of a label: the ranking by other labels of the same breaches, on the user's own training rows."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from scoring.features.table import Feature
from scoring.model.promises import FREEABLE, free_direction
from training.evaluation.arrays import to_json_values
from training.evaluation.equal_volume import auc_at_equal_volume
from training.fitting.crossfit import cross_fit
from training.fitting.fit import fit_full, rows_at_reference
from training.observation.labels import find_market_cut, windows_at
from training.observation.snapshots import join_snapshots, observe_known_outcomes
from training.pipeline.job import Job
from training.pipeline.observing import Observations
from training.pipeline.steps import Step
from training.study.definition import Study

MAX_ROWS, ROUNDS = 20_000, 60


@frozen
class LabelSuggestion:
    rows: list[JsonObject]
    summary: str


def suggest_labels(step: Step, job: Job, observed: Observations) -> LabelSuggestion:
    """Rank by each label at equal volume, cross-fitted on the training points; the study's own label is last.

    `auc` is None with too few bad rows.
    """
    choices = list(_list_choices(job, observed))
    rows: list[JsonObject] = []
    for done, (label, state, study) in enumerate(choices):
        step(done, len(choices))
        rows.append({"label": label, "state": state} | _measure_auc(job, observed, study))
    best = max((row for row in rows if row["auc"]), key=lambda row: row["auc"]["value"], default=None)
    summary = "too few bad rows to compare labels" if best is None else f"at equal volume {best['label']} ranks best"
    return LabelSuggestion(rows, f"{summary}; take a rate where you can: it needs no account of volume")


def _list_choices(job: Job, observed: Observations) -> Iterator[tuple[str, str, Study]]:
    """Yield (label, what a study must state, study) of each other label."""
    study = job.study
    without_exposure = replace(study, exposure=replace(study.exposure, reference_orders=None, slope=None))
    if not study.is_rate and study.observation.events is None:
        share = _find_share_of_worst(job, observed, without_exposure)
        if 0 < share <= 1:
            bad = replace(study.bad, share=share, worst=None, at_least=1)
            yield "a rate", f"[bad] share = {share:g}, without [exposure]", replace(without_exposure, bad=bad)
    if not study.is_rate and study.exposure.reference_orders is None:
        orders = float(max(np.median(observed.rows.window_orders), 1))
        exposure = replace(study.exposure, reference_orders=orders)
        yield "over orders", f"[exposure] reference_orders = {orders:g}", replace(study, exposure=exposure)
    freed_features = tuple(
        free_direction(feature) if isinstance(feature, Feature) and feature.name in FREEABLE else feature
        for feature in study.features
    )
    if freed_features != study.features:
        yield (
            "freed directions",
            '[directions] exposure = "free", tenure = "free": never champion',
            replace(study, features=freed_features),
        )
    yield "as the study says", "", study


def _find_share_of_worst(job: Job, observed: Observations, study: Study) -> float:
    """Return the least share of failed orders among as many sellers as are bad now."""
    rate = min(max(float(observed.rows.bad.mean()), 1e-6), 1.0)
    worst = replace(study, bad=replace(study.bad, worst=rate, share=None, at_least=1))
    windows = windows_at(job.table.columns.cases, observed.train_points[-1])
    cut = find_market_cut(job.table, worst, windows, observed.final)
    return float(f"{cut:.2g}") if math.isfinite(cut) else 0.0


def _measure_auc(job: Job, observed: Observations, study: Study) -> JsonObject:
    study = replace(study, model=replace(study.model, rounds=ROUNDS), pairs=())
    parts = [observe_known_outcomes(job.table, study, point, observed.final) for point in observed.train_points]
    rows = join_snapshots(parts).sample(MAX_ROWS, study.model.seed)
    row: JsonObject = {"rows": len(rows.bad), "bad": int(rows.bad.sum()), "auc": None, "pairs": 0}
    x = rows_at_reference(rows, study).x
    raw = cross_fit(rows, rows, x, study.model.seed, lambda _, part: fit_full(rows_at_reference(part, study), study))
    if raw is not None:
        day = None if study.observation.events is not None else rows.day
        auc = auc_at_equal_volume(raw, rows.bad, rows.window_orders, rows.seller, rows.weight, day)
        if auc.pairs:
            row |= {"auc": to_json_values(auc.interval()), "pairs": round(auc.pairs)}
    return row
