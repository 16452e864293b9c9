from dataclasses import asdict
from typing import Any

import numpy as np

from scoring.base.arrays import Floats
from training.evaluation import curves, segments, tiers
from training.evaluation.arrays import to_json_values
from training.evaluation.case import CANDIDATE, VOLUMES, EvaluationCase
from training.evaluation.curves import Shares
from training.evaluation.equal_volume import compare_pairs, estimate_by_jackknife
from training.evaluation.probability import log_losses, recalibrate
from training.evaluation.stability import Samples


def evaluate(case: EvaluationCase) -> dict[str, Any]:
    """Compute all figures of a candidate's evaluation, as JSON values.

    AUCs, curves, means and bad rates weight each row by `case.weight`; counts and drift do not. Intervals are tables of
    value, low and high (95 %), by seller. Null marks an undefined figure.
    """
    scores = case.scores()
    auc, difference = compare_pairs(scores, case.bad, np.ones(len(case.bad)), case.seller, case.weight, CANDIDATE)
    shares = {name: Shares.of(score, case.bad, case.weight) for name, score in scores.items() if name not in VOLUMES}
    base_rate = case.mean(case.bad)
    found = {
        "train": count_rows(case.train.bad, case.train.seller),
        "test": count_rows(case.bad, case.seller)
        | {
            "indeterminate": case.indeterminate,
            "left": case.left,
            "seen_rows": int(case.seen.sum()),
            "unseen_rows": int((~case.seen).sum()),
        },
        "base_rate": base_rate,
        "predicted": case.mean(case.probabilities()[CANDIDATE]),
        "auc": {name: ranked.interval() for name, ranked in auc.items()},
        "difference": difference,
        **compare_models(case),
        "models": {name: _describe_probabilities(case, name) for name in case.probabilities()},
        "curves": {
            "roc": {name: curves.roc(share) for name, share in shares.items()},
            "precision": {name: curves.precision(share, base_rate) for name, share in shares.items()},
        },
        "reliability": curves.reliability(case),
        "grades": tiers.grades(case),
        "by_month": segments.by_month(case),
        "segments": segments.segments(case),
        "psi": stability(case),
        "migration": tiers.migration(case),
    }
    result: dict[str, Any] = to_json_values(found)
    return result


def _describe_probabilities(case: EvaluationCase, name: str) -> dict[str, Any]:
    log_odds, p_bad = case.log_odds[name], case.probabilities()[name]
    slope, intercept = recalibrate(log_odds, case.bad, case.weight, case.seller)
    lost = log_losses(log_odds, case.bad)
    log_loss = case.mean(lost)
    _, cluster = np.unique(case.seller, return_inverse=True)
    influence = np.bincount(cluster, weights=case.weight * (lost - log_loss)) / case.weight.sum()
    return {
        "log_loss": estimate_by_jackknife(log_loss, influence),
        "brier": case.mean((p_bad - case.bad) ** 2),
        "calibration": {
            "slope": slope,
            "intercept": intercept,
            "predicted": case.mean(p_bad),
            "observed": case.mean(case.bad),
        },
    }


def compare_models(case: EvaluationCase) -> dict[str, Any]:
    """Return AUCs over pairs of rows of one day and of like window volume, weighted by `case.weight`: `equal_volume`.

    `judged` are the pairs that the case is judged by: the same, or all pairs of a day. `pairs`: their weight; `bad`:
    bad rows in one; `difference`: the candidate's AUC less another's.
    """
    found = {"equal_volume": _compare(case, at_equal_volume=True)}
    judged = found["equal_volume"] if case.at_equal_volume else _compare(case, at_equal_volume=False)
    return found | {"judged": {"at_equal_volume": case.at_equal_volume, **judged}}


def _compare(case: EvaluationCase, *, at_equal_volume: bool) -> dict[str, Any]:
    found, differences = case.compare(case.scores(), at_equal_volume=at_equal_volume)
    return {
        "pairs": found[CANDIDATE].pairs,
        "bad": found[CANDIDATE].bad,
        "auc": {name: score.interval() for name, score in found.items()},
        "difference": differences,
    }


def stability(case: EvaluationCase) -> dict[str, Any]:
    """Return the PSI of the candidate's points (`score`) and the CSI of each of `features`, test against training.

    Features with the largest ratio of value to critical value come first, equal ones by name.
    """
    samples = Samples(case.train.seller, case.seller)
    score = samples.shift(case.train.points.astype(np.float64), case.points.astype(np.float64), [case.seed, 2000])
    features = [
        {"feature": name, **asdict(samples.shift(case.train.x[:, k], case.x[:, k], [case.seed, 2001, k]))}
        for k, name in enumerate(case.features)
    ]
    features.sort(key=lambda row: (-row["value"] / row["critical"] if row["critical"] > 0 else 0.0, row["feature"]))
    return {"score": asdict(score), "features": features}


def count_rows(bad: Floats, seller: Any) -> dict[str, int]:
    """Return how many rows, bad rows and different sellers there are."""
    return {"rows": len(bad), "bad": int(bad.sum()), "sellers": len(np.unique(seller))}
