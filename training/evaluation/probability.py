import math

import numpy as np

from scoring.base.arrays import Floats, Ints
from training.evaluation.arrays import Interval
from training.fitting.logistic import fit_with_errors

BINS = 10


def log_losses(log_odds: Floats, bad: Floats) -> Floats:
    """Return the log-loss of each row, shape (n,): -ln of the probability that was predicted for its outcome.

    `bad` is 0 or 1. Worked: log-odds 0 lose ln 2 = 0.693, whatever the outcome.
    """
    return np.asarray(np.logaddexp(0.0, log_odds) - bad * log_odds)


def tied_bins(values: Floats, bins: int = BINS) -> list[Ints]:
    """Split rows by value into up to `bins` parts of nearly equal size; return their indices, smallest values first.

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


def measure_calibration(log_odds: Floats, bad: Floats, weight: Floats, seller: Ints) -> tuple[Interval, Interval]:
    """Return slope and intercept of the lines that correct a model's log-odds z on some rows.

    Slope: of logit p = a + slope x z with a free; below 1 the predictions are too far apart. Intercept: of logit p =
    intercept + z; above 0 the model predicts too little. NaN if no line fits best. Rows of one
    `seller` count as one in the errors.
    """
    unknown = Interval(math.nan, math.nan, math.nan)
    if not 0 < bad.sum() < len(bad):
        return unknown, unknown
    ones = np.ones(len(bad))
    line = fit_with_errors(np.column_stack([ones, log_odds]), bad, 0 * ones, weight, seller)
    level = fit_with_errors(ones[:, None], bad, log_odds, weight, seller)
    slope, intercept = (
        unknown if estimate is None else Interval.from_error(float(estimate[0][-1]), float(estimate[1][-1]))
        for estimate in (line, level)
    )
    return slope, intercept
