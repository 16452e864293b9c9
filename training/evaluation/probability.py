import math

import numpy as np

from scoring.base.arrays import Floats, Ints
from training.evaluation.arrays import Interval, sigmoid

BINS = 10


def losses(log_odds: Floats, bad: Floats) -> Floats:
    """Return the log-loss of each row: -ln of the predicted probability of its outcome.

    Worked: log-odds 0: ln 2.
    """
    return np.asarray(np.logaddexp(0.0, log_odds) - bad * log_odds)


def equal_bins(values: Floats, bins: int = BINS) -> list[Ints]:
    """Split rows by value into up to `bins` parts of equal numbers; return their indices, smallest values first.

    Equal values may fall into two parts.
    """
    order = np.argsort(values, kind="stable")
    return [part for part in np.array_split(order, bins) if len(part)]


def tied_bins(values: Floats, bins: int = BINS) -> list[Ints]:
    """Split rows by value into up to `bins` parts of nearly equal numbers; return their indices, smallest values
    first.

    Equal values are in one part. Each cut goes to the nearest place where the value changes, the lower of two equally
    near. Worked: 1, 1, 1, 2, 3, 3 in three bins: 1, 1, 1 and 2 and 3, 3.
    """
    order = np.argsort(values, kind="stable")
    changes = np.flatnonzero(np.diff(values[order])) + 1
    if not len(changes):
        return [order] if len(order) else []
    wanted = len(order) * np.arange(1, bins) / bins
    after = np.minimum(np.searchsorted(changes, wanted), len(changes) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(changes[before] - wanted) <= np.abs(changes[after] - wanted), before, after)
    return np.split(order, changes[np.unique(nearest)])


class Recalibration:
    """Logistic recalibration: the line that corrects the model's log-odds z on some rows.

    `slope`: of logit p = a + slope x z with a free; below 1 the predictions are too far apart. `intercept`: of logit p
    = intercept + z; above 0 the model predicts too little. NaN without both outcomes, or if no line fits best (all z
    equal, or z separates the outcomes).
    """

    def __init__(self, log_odds: Floats, bad: Floats, weight: Floats) -> None:
        self._z, self._bad, self._weight = log_odds, bad, weight
        self._line = self._fit()
        self.slope = float(self._line[1])
        self.intercept = self._level()

    def _fit(self) -> Floats:
        undefined = np.full(2, np.nan)
        if not 0 < self._bad.sum() < len(self._bad) or np.ptp(self._z) == 0:
            return undefined
        line: Floats = np.array([0.0, 1.0])
        for _ in range(100):
            gradient, hessian = self._slopes(line)
            if np.linalg.cond(hessian) > 1e14:
                return undefined
            step = np.clip(np.linalg.solve(hessian, gradient), -1.0, 1.0)
            line = line + step
            if np.abs(step).max() < 1e-9:
                return line
        return undefined

    def _slopes(self, line: Floats) -> tuple[Floats, Floats]:
        sums = self._line_terms(line).sum(axis=0)
        return sums[:2], np.array([[sums[2], sums[3]], [sums[3], sums[4]]])

    def _line_terms(self, line: Floats) -> Floats:
        p = sigmoid(line[0] + line[1] * self._z)
        left, curve = self._weight * (self._bad - p), self._weight * p * (1 - p)
        return np.stack([left, left * self._z, curve, curve * self._z, curve * self._z**2], axis=1)

    def _level(self) -> float:
        if not 0 < self._bad.sum() < len(self._bad):
            return math.nan
        level = 0.0
        for _ in range(100):
            p = sigmoid(level + self._z)
            step = float(self._weight @ (self._bad - p)) / float(self._weight @ (p * (1 - p)))
            level += max(-1.0, min(1.0, step))
            if abs(step) < 1e-10:
                return level
        return math.nan

    def terms(self) -> Floats:
        """Return the seven terms that move slope and intercept in a bootstrap draw, (n, 7).

        Five are derivatives at the fitted line, two at the intercept with slope 1.
        """
        with np.errstate(invalid="ignore"):
            p = sigmoid(self.intercept + self._z)
            level = np.stack([self._weight * (self._bad - p), self._weight * p * (1 - p)], axis=1)
            return np.concatenate([self._line_terms(self._line), level], axis=1)

    def intervals(self, sums: Floats) -> tuple[Interval, Interval]:
        """Return slope and intercept with their intervals, from the sums of `terms` in each draw, shape (resamples,
        7).

        Each draw moves the line by one step of Newton's method, which equals a refit to second order.
        """
        left, left_z, curve, curve_z, curve_zz = sums[:, :5].T
        with np.errstate(all="ignore"):
            slope = self.slope + (curve * left_z - curve_z * left) / (curve * curve_zz - curve_z**2)
            intercept = self.intercept + sums[:, 5] / sums[:, 6]
        return Interval.of(self.slope, slope), Interval.of(self.intercept, intercept)
