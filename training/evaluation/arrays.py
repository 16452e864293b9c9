"""What every figure is made of: arrays by row, and an estimate with its interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from scoring.arrays import Floats, Ints, first_of_runs

Labels = NDArray[Any]
"""Texts by row, of numpy's string or object type."""

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval; NaN where there is too little to tell."""

    value: float
    low: float
    high: float

    @staticmethod
    def of(value: float, draws: Floats) -> "Interval":
        """The percentile interval of a bootstrap's draws; those without a figure (NaN) are left out."""
        known = draws[np.isfinite(draws)]
        if not len(known):
            return Interval(value, math.nan, math.nan)
        low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        return Interval(value, float(low), float(high))

    def as_dict(self) -> dict[str, float]:
        """The three numbers by name."""
        return {"value": self.value, "low": self.low, "high": self.high}


FEW_BAD = 30
"""Bad sellers below which chance alone is told by Poisson's law too: from few, a bootstrap draws too narrow an interval."""


def widen_by_poisson(ratio: Interval, bad_count: int, increment: float) -> Interval:
    """Widen the interval of a ratio to hold for few bad sellers too; `increment`: what one of them adds to the ratio.

    A bootstrap of none has no width, and one of three believes that there cannot be none. So below FEW_BAD the exact 95 %
    interval of a Poisson count is held too (Garwood's). Worked: 0 of 0.4 expected is 0 (0 to 9.22).
    """
    if bad_count >= FEW_BAD:
        return ratio
    low = increment * float(gammaincinv(bad_count, (1 - LEVEL) / 2)) if bad_count else 0.0
    high = increment * float(gammaincinv(bad_count + 1, (1 + LEVEL) / 2))
    return Interval(ratio.value, float(np.fmin(low, ratio.low)), float(np.fmax(high, ratio.high)))


def sigmoid(log_odds: Floats) -> Floats:
    """The probability of log-odds, without overflow: `sigmoid(0) = 0.5`."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -log_odds)))


def groups_of(key: Labels | Ints) -> list[tuple[Any, Ints]]:
    """The rows (ascending) of each distinct key, keys in order: `[7, 3, 7]` gives `(3, [1])` and `(7, [0, 2])`."""
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    starts = np.flatnonzero(first_of_runs(sorted_key))
    return [(key[part[0]], part) for part in np.split(order, starts[1:]) if len(part)]


def plain(value: Any) -> Any:
    """The value as JSON knows it: intervals as tables, numbers to 12 digits, and null for what is not finite."""
    if isinstance(value, Interval):
        return plain(value.as_dict())
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(part) for part in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value
