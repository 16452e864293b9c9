"""The cluster bootstrap: sellers are drawn with replacement, with all their rows; every model gets the same draws."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scoring.base.arrays import Floats, Ints
from training.evaluation.arrays import Interval
from training.evaluation.ranking import HARM, Ranking

RESAMPLES = 1000
CHUNK = 20


@dataclass(slots=True)
class Draws:
    auc: dict[str, Floats] = field(default_factory=dict)
    """Shape (resamples,), like `recall`."""
    recall: dict[str, Floats] = field(default_factory=dict)
    sums: dict[str, Floats] = field(default_factory=dict)


def draw(
    rankings: Mapping[str, Ranking],
    terms: Mapping[str, Floats],
    seller: Ints,
    weight: Floats,
    loss: Floats,
    seed: int | list[int],
    resamples: int,
    harm: float = HARM,
) -> Draws:
    """Draw sellers with replacement `resamples` times; return the figures of each draw.

    The figures are AUC and recall of loss of each ranking, and the sums of each model's `terms`, shape (n, k), by name.
    A formula for independent rows (DeLong's) would be too narrow.
    """
    rng = np.random.default_rng(seed)
    sellers, cluster = np.unique(seller, return_inverse=True)
    by_seller = {name: _by_cluster(cluster, len(sellers), rows) for name, rows in terms.items()}
    draws = Draws(
        {name: np.empty(resamples) for name in rankings},
        {name: np.empty(resamples) for name in rankings},
        {name: np.empty((resamples, rows.shape[1])) for name, rows in terms.items()},
    )
    for start in range(0, resamples, CHUNK):
        copies = np.empty((min(CHUNK, resamples - start), len(sellers)))
        for k in range(len(copies)):
            copies[k] = np.bincount(rng.integers(0, len(sellers), len(sellers)), minlength=len(sellers))
            copied = copies[k][cluster] * weight
            for name, ranking in rankings.items():
                draws.auc[name][start + k], draws.recall[name][start + k] = ranking.figures(copied, loss, harm)
        for name, sums in by_seller.items():
            draws.sums[name][start : start + len(copies)] = copies @ sums
    return draws


def _by_cluster(cluster: Ints, count: int, rows: Floats) -> Floats:
    columns = [np.bincount(cluster, weights=rows[:, k], minlength=count) for k in range(rows.shape[1])]
    return np.stack(columns, axis=1)


def bootstrap_auc(scores: Mapping[str, Floats], bad: Floats, seller: Ints) -> dict[str, Interval]:
    rankings = {name: Ranking.of(score, bad) for name, score in scores.items()}
    weights = np.ones(len(bad))
    draws = draw(rankings, {}, seller, weights, bad, 1, RESAMPLES)
    return with_pairs({name: ranking.figures(weights, bad)[0] for name, ranking in rankings.items()}, draws.auc)


def with_pairs(points: Mapping[str, float], draws: Mapping[str, Floats]) -> dict[str, Interval]:
    """Return each figure, and each pair's difference as `a-b`, from the same figures of each draw."""
    found = {name: Interval.of(point, draws[name]) for name, point in points.items()}
    names = list(points)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            found[f"{a}-{b}"] = Interval.of(points[a] - points[b], draws[a] - draws[b])
    return found
