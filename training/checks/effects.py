"""Leaks by their effect: what features tell of sellers that have no record yet. Honest ones know little of them."""

from dataclasses import replace

import lightgbm
import numpy as np
from scipy.special import ndtr

from scoring.base.arrays import NEVER, Floats
from scoring.base.enums import Kind
from scoring.base.time import DAY
from training.checks.check import Check
from training.evaluation.equal_volume import MIN_BAD, MIN_PAIRS, EqualVolume, auc_at_equal_volume
from training.evaluation.jeffreys import holm
from training.fitting.crossfit import cross_fit
from training.fitting.fit import Raw
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot
from training.study.definition import Study

SAMPLE = 20_000
MAX_AUC = 0.8
ALPHA = 0.025
"""Chance, after Holm, that an honest feature at MAX_AUC fails."""

_MODEL = {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 7,
    "min_data_in_leaf": 20,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_ROUNDS = 40


def take_unrecorded(table: LedgerTable, study: Study, rows: Snapshot) -> Snapshot:
    """Return the rows of sellers about whom nothing bad was reported before the observation.

    A violation counts whatever became of it; a failed order if bad counts failed orders.
    """
    columns = table.columns
    told = columns.kind == Kind.VIOLATION
    if study.bad.count == "service_failures":
        told = told | ((columns.kind == Kind.EXPOSURE) & (columns.failures > 0))
    first = np.full(columns.cases, NEVER)
    np.minimum.at(first, columns.case[told], columns.report_time[told])
    return rows.take(first[rows.seller] >= rows.day * DAY)


def check_effects(study: Study, rows: Snapshot) -> list[Check]:
    """Check that features, alone and in a small model, rank unrecorded sellers with an AUC of at most 0.8.

    A proven excess fails, after Holm over the features; an unproven one asks for a signature, and so do too few rows.
    `rows`: from `take_unrecorded`. AUC is over the pairs that the study is judged by, in the better direction.
    """
    rows = rows.sample(SAMPLE, study.model.seed)
    bad = int(rows.bad.sum())
    ranked = [_turn_to_better(_rank(study, rows, column)) for column in rows.x.T]
    if bad < MIN_BAD or max(comparison.pairs for comparison in ranked) < MIN_PAIRS:
        text = f"not judged: {bad} bad training rows have no record before, and {MIN_BAD} in {MIN_PAIRS:,} pairs are needed"
        return [Check(name, False, bad, text, MIN_BAD, signed=True) for name in ("single_feature",)]
    strength = np.nan_to_num([comparison.value for comparison in ranked], nan=0.5)
    proven = holm(np.array([_p_value(comparison) for comparison in ranked])) < ALPHA
    best = int(np.argmax(strength))
    over = [study.features[place].key for place in np.flatnonzero(strength > MAX_AUC)]
    text = f"{study.features[best].key} alone ranks {bad} bad sellers without a record with AUC {strength[best]:.3f}"
    if over:
        text += f"; {', '.join(over)}: look whether it knows the outcome, for example by a report_time too early"
    checks = [Check("single_feature", not over, float(strength[best]), text, MAX_AUC, signed=not proven.any())]
    if (every := rank_by_all(study, rows)) is not None:
        every = _turn_to_better(every)
        text = f"all features together rank sellers without a record with AUC {every.value:.3f}"
        is_proven = _p_value(every) < ALPHA
        checks.append(Check("all_features", every.value <= MAX_AUC, every.value, text, MAX_AUC, signed=not is_proven))
    return checks


def rank_by_all(study: Study, rows: Snapshot) -> EqualVolume | None:
    """Return the AUC of a small model of all features, each seller scored by a model not fitted on it.

    None with too few bad rows.
    """
    if rows.bad.sum() < MIN_BAD:
        return None

    def fit(_: int, part: Snapshot) -> Raw:
        data = lightgbm.Dataset(part.x, part.bad)
        booster = lightgbm.train({**_MODEL, "seed": study.model.seed}, data, _ROUNDS)
        return lambda x: np.asarray(booster.predict(x, raw_score=True))

    raw = cross_fit(rows, rows, rows.x, study.model.seed, fit)
    return None if raw is None else _rank(study, rows, raw)


def _rank(study: Study, rows: Snapshot, score: Floats) -> EqualVolume:
    volume = rows.window_orders if study.at_equal_volume else np.ones(len(rows.bad))
    day = None if study.observation.events is not None else rows.day
    return auc_at_equal_volume(score, rows.bad, volume, rows.seller, rows.weight, day)


def _turn_to_better(ranked: EqualVolume) -> EqualVolume:
    return replace(ranked, value=1 - ranked.value, influence=-ranked.influence) if ranked.value < 0.5 else ranked


def _p_value(comparison: EqualVolume) -> float:
    error = float(np.sqrt((comparison.influence**2).sum()))
    return float(ndtr((MAX_AUC - comparison.value) / max(error, 1e-12)))
