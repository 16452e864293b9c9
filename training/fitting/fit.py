import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import lightgbm
import numpy as np

from scoring.base.arrays import Floats
from scoring.base.canonical import JsonObject
from scoring.base.errors import ConfigurationWrong
from scoring.features import table as features
from training.fitting.additive import fit_additive
from training.fitting.curves import Curve, Curves, add_up_trees
from training.observation.snapshots import Snapshot
from training.study.definition import Study

MAX_CELLS_OF_ONE_THREAD = 5_000_000
"""Cells of the input below which a second thread costs more than it saves."""

RawScorer = Callable[[Floats], Floats]

RoundDone = Callable[[int, int], None]

DEFAULTS: JsonObject = {
    "learning_rate": 0.03,
    "num_leaves": 6,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
    "extra_trees": True,
}
"""Chosen inside training periods of real ledgers (docs/benchmarks.md)."""

FIXED: JsonObject = {
    "objective": "binary",
    "monotone_constraints_method": "intermediate",
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
"""Parameters that no study may change: directions and equal digests depend on them."""


def exposure_offset(snapshot: Snapshot, study: Study) -> Floats:
    """Return each row's own exposure as log-odds: slope x ln(window orders / reference orders).

    0 without a reference exposure; the slope is 1 if the study has none. Serving answers for the reference exposure and
    adds no offset. Worked: 500 orders with 1,000 as reference give ln 0.5 = -0.693 at slope 1, -0.347 at slope 0.5.
    """
    slope = 1.0 if study.exposure.slope is None else study.exposure.slope
    return slope * log_exposure(snapshot.window_orders, study)


def log_exposure(window_orders: Floats, study: Study) -> Floats:
    """Return ln(window orders / reference orders): 0 without a reference exposure; under 1 order counts as 1."""
    if study.exposure.reference_orders is None:
        return np.zeros(len(window_orders))
    return np.asarray(np.log(np.maximum(window_orders, 1.0) / study.exposure.reference_orders))


def rows_at_reference(rows: Snapshot, study: Study) -> Snapshot:
    """Return the rows with every context feature at its reference, as served."""
    return replace(rows, x=features.at_reference(rows.x, study.features)) if study.context else rows


def fit_curves(rows: Snapshot, study: Study, done: RoundDone | None = None) -> Curves:
    """Fit the monotone model of the page; its raw score is the log-odds of bad over the reference exposure.

    Rows must be sorted by (point, seller). LightGBM's trees follow the additive start, the mean of `study.model.seeds`
    models. ConfigurationWrong if LightGBM rejects the parameters.
    """
    steps, start = _fit_additive_start(rows, study)
    feature_groups = [*([place] for place in range(len(study.features))), *map(list, study.pairs)]
    trees: list[JsonObject] = []
    for number in range(study.model.seeds):
        round_done = _count_rounds(done, number * study.model.rounds, study.model.rounds * study.model.seeds)
        booster = _fit_trees(rows, study, study.model.seed + number, start, round_done, feature_groups)
        trees += [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    constant = base_log_odds(rows.bad, start, rows.weight)
    return add_up_trees(constant, steps, trees, 1 / study.model.seeds, len(study.features))


def fit_full(rows: Snapshot, study: Study) -> RawScorer:
    """Fit the unconstrained twin: monotone, but its trees use any features. Return its raw scorer."""
    steps, start = _fit_additive_start(rows, study)
    booster = _fit_trees(rows, study, study.model.seed, start, lambda _: None, None)
    base = base_log_odds(rows.bad, start, rows.weight)

    def score(x: Floats) -> Floats:
        by_trees = np.asarray(booster.predict(x, raw_score=True, num_threads=1), dtype=np.float64)
        return base + sum((step.raw_scores(x) for step in steps), by_trees)

    return score


def _fit_additive_start(rows: Snapshot, study: Study) -> tuple[list[Curve], Floats]:
    """Return the step functions of the features, and the log-odds of each row by them."""
    exposure = exposure_offset(rows, study)
    steps = fit_additive(rows.x, rows.bad, exposure, rows.weight, [feature.direction for feature in study.features])
    return steps, sum((step.raw_scores(rows.x) for step in steps), exposure)


def _count_rounds(done: RoundDone | None, rounds_before: int, rounds: int) -> Callable[[int], None]:
    """Return a callback that passes on how many of all rounds are done."""
    return lambda round_: done(rounds_before + round_, rounds) if done else None


def _fit_trees(
    rows: Snapshot,
    study: Study,
    seed: int,
    start: Floats,
    done: Callable[[int], None],
    feature_groups: list[list[int]] | None,
) -> lightgbm.Booster:
    """Fit one LightGBM model from `start`, the log-odds that each row has already; its score has no constant.

    `feature_groups`: the features that one tree may use; None: any.
    """
    parameters = {
        **DEFAULTS,
        **study.model.parameters,
        **FIXED,
        "seed": seed,
        "num_threads": 1 if rows.x.size < MAX_CELLS_OF_ONE_THREAD else 2,
        "monotone_constraints": [-feature.direction for feature in study.features],
        **({} if feature_groups is None else {"interaction_constraints": feature_groups}),
    }
    base = base_log_odds(rows.bad, start, rows.weight)
    data = lightgbm.Dataset(
        rows.x, rows.bad, weight=rows.weight, init_score=start + base, params={"feature_pre_filter": False}
    )
    try:
        return lightgbm.train(parameters, data, study.model.rounds, callbacks=[lambda env: done(env.iteration + 1)])
    except lightgbm.basic.LightGBMError as error:
        raise ConfigurationWrong(f"model.parameters of the study cannot be used: {_clean_message(error)}") from None


def _clean_message(error: Exception) -> str:
    """Return LightGBM's message without a place in its source."""
    return _SOURCE_PLACE.sub("", " ".join(str(error).split())).strip(" .")


_SOURCE_PLACE = re.compile(r"(,? at)? \S*/\S+\.(cpp|hpp|h|cu)(, line \d+)?")


def base_log_odds(bad: Floats, start: Floats, weight: Floats | None = None) -> float:
    """Return the constant c that makes the mean of sigmoid(start + c) the base rate.

    The rate is bounded to 1e-6 from 0 and 1. Worked: half the rows bad and start 0 gives 0; start 1 for all gives -1.
    """
    rate = min(max(float(np.average(bad, weights=weight)), 1e-6), 1 - 1e-6)
    constant = math.log(rate / (1 - rate)) - float(start.mean())
    for _ in range(50):
        p_bad = 1 / (1 + np.exp(-(start + constant)))
        slope = float(np.average(p_bad * (1 - p_bad), weights=weight))
        step = (float(np.average(p_bad, weights=weight)) - rate) / max(slope, 1e-12)
        constant -= max(min(step, 1.0), -1.0)
        if abs(step) < 1e-12:
            break
    return constant


def baseline_seller(rows: Snapshot) -> Floats:
    """Return the baseline seller: median features of established clean sellers, shape (features,).

    Clean: without a counted incident; if no seller is, all count. Established: at least the median clean seller's
    settled orders.
    """
    clean = np.flatnonzero(rows.clean) if rows.clean.any() else np.arange(len(rows.clean))
    orders = rows.orders[clean]
    established = clean[orders >= np.median(orders)]
    if len(established) > MAX_ESTABLISHED:
        established = established[np.linspace(0, len(established) - 1, MAX_ESTABLISHED).astype(np.int64)]
    return np.median(rows.x[established], axis=0)


MAX_ESTABLISHED = 100_000


def golden_rows(rows: Snapshot, count: int = 64) -> Floats:
    """Return up to `count` training rows at even steps, shape (count, features)."""
    index: Sequence[int] = np.unique(np.linspace(0, len(rows.x) - 1, count).astype(int)).tolist()
    return rows.x[list(index)]
