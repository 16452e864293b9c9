"""How good a ranking and a probability are: AUC with a cluster bootstrap by seller, calibration by volume."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 1000


def auc(score: Floats, bad: Floats, weight: Floats | None = None) -> float:
    """Chance that a bad row scores above a good one, ties one half; NaN without both. `weight`: copies of each row.

    Worked: scores 1, 2, 2 with bad 0, 0, 1: the bad one beats one good row and ties with one: 0.75.
    """
    order = np.argsort(score, kind="stable")
    return _auc_sorted(score[order], bad[order], np.ones(len(score)) if weight is None else weight[order])


def _auc_sorted(score: Floats, bad: Floats, weight: Floats) -> float:
    new = np.ones(len(score), dtype=bool)
    new[1:] = score[1:] != score[:-1]
    starts = np.flatnonzero(new)
    bads = np.add.reduceat(weight * bad, starts)
    goods = np.add.reduceat(weight * (1 - bad), starts)
    below = np.cumsum(goods) - goods
    total = bads.sum() * goods.sum()
    return float((bads * (below + goods / 2)).sum() / total) if total else float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """The three numbers by name."""
        return {"value": self.value, "low": self.low, "high": self.high}


def bootstrap_auc(scores: dict[str, Floats], bad: Floats, seller: Ints, seed: int = 1) -> dict[str, Interval]:
    """AUC of each score with a cluster bootstrap by seller, and of each pair the difference as `a-b`.

    Sellers are drawn with replacement, all rows of one together, the same draws for every score (so differences are
    paired). Rows of one seller are not independent, which is why DeLong's formula would be too narrow.
    """
    rng = np.random.default_rng(seed)
    sellers, cluster = np.unique(seller, return_inverse=True)
    orders = {name: np.argsort(score, kind="stable") for name, score in scores.items()}
    draws: dict[str, list[float]] = {name: [] for name in scores}
    for _ in range(RESAMPLES):
        copies = np.bincount(rng.integers(0, len(sellers), len(sellers)), minlength=len(sellers))
        weight = copies[cluster].astype(np.float64)
        for name, order in orders.items():
            draws[name].append(_auc_sorted(scores[name][order], bad[order], weight[order]))
    point = {name: auc(score, bad) for name, score in scores.items()}
    drawn = {name: np.array(values) for name, values in draws.items()}
    names = list(scores)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            point[f"{a}-{b}"] = point[a] - point[b]
            drawn[f"{a}-{b}"] = drawn[a] - drawn[b]
    return {
        name: Interval(
            point[name], float(np.nanpercentile(drawn[name], 2.5)), float(np.nanpercentile(drawn[name], 97.5))
        )
        for name in point
    }


@dataclass(frozen=True, slots=True)
class Decile:
    """Calibration in one tenth of the rows by volume: mean predicted chance beside the share that was bad."""

    rows: int
    orders_from: float
    orders_to: float
    predicted: float
    observed: float


def calibration_by_volume(p_bad: Floats, bad: Floats, orders: Floats, parts: int = 10) -> list[Decile]:
    """Calibration by decile of volume (settled orders), smallest first."""
    order = np.argsort(orders, kind="stable")
    return [
        Decile(
            len(index),
            float(orders[index[0]]),
            float(orders[index[-1]]),
            float(p_bad[index].mean()),
            float(bad[index].mean()),
        )
        for index in np.array_split(order, parts)
        if len(index)
    ]
