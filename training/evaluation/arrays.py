import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from scoring.base.arrays import Floats, Ints, first_of_runs
from scoring.base.frozen import frozen

Labels = NDArray[Any]

LEVEL = 0.95
ERRORS_95 = 1.959964


@frozen
class Interval:
    """An estimate with its 95 % interval; NaN if there is too little data."""

    value: float
    low: float
    high: float

    @staticmethod
    def from_error(value: float, error: float) -> "Interval":
        return Interval(value, value - ERRORS_95 * error, value + ERRORS_95 * error)

    def clip(self, least: float, most: float) -> "Interval":
        low, high = np.clip([self.low, self.high], least, most)
        return Interval(self.value, float(low), float(high))


def bound_sum(weights: Floats, largest: float) -> Interval:
    """Return the sum of the weights of bad sellers, shape (n,) and above 0, with Fay and Feuer's gamma interval.

    It suits few sellers: it is never below 0, and longer above than below. Weights that all equal `largest` give
    Garwood's exact Poisson interval. `largest`: the most that one seller could weigh. Worked with 1: five of weight 1 are
    5 (1.62 to 11.67), and none are 0 (0 to 3.69).
    """
    total, square = float(weights.sum()), float(weights @ weights)
    low = square / total * float(gammaincinv(total**2 / square, (1 - LEVEL) / 2)) if total else 0.0
    total_with_largest, square = total + largest, square + largest**2
    return Interval(
        total, low, square / total_with_largest * float(gammaincinv(total_with_largest**2 / square, (1 + LEVEL) / 2))
    )


def sigmoid(log_odds: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -log_odds)))


def groups_of(key: Labels | Ints) -> list[tuple[Any, Ints]]:
    """Return (key, row indices) of each distinct key, keys and indices ascending.

    Worked: `[7, 3, 7]` gives `(3, [1])` and `(7, [0, 2])`.
    """
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    starts = np.flatnonzero(first_of_runs(sorted_key))
    return [(key[part[0]], part) for part in np.split(order, starts[1:]) if len(part)]


def to_json_values(value: Any) -> Any:
    """Return tables, arrays and intervals as JSON values: numbers keep 12 digits, null if not finite."""
    if isinstance(value, Interval):
        return to_json_values(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_json_values(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [to_json_values(part) for part in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value
