"""Logistic regression on the logarithms of the model's own columns: the baseline that a model has to be better than.

Counts and masses reach from nothing to thousands, and the tenth incident adds less than the first did: without logarithms a
regression is led by a few large sellers, with log-odds beyond 1,000.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from scoring.arrays import Floats
from training.fitting.additive import log1p
from training.fitting.fit import base_log_odds, offset
from training.observation.snapshots import Snapshot
from training.study.definition import Study

PENALTY = 5.0
"""Factor of the squared weights of standardised columns, against the sum of log-losses."""

MAX_STEPS = 100
"""Steps of Newton's method at most."""


class Logistic:
    """Logistic regression on the logarithm of each column, standardised.

    A row counts by its weight, and has its own exposure as an offset, as in the model: what is fitted holds over the
    reference exposure.
    """

    def __init__(self, rows: Snapshot, study: Study) -> None:
        self._study = study
        columns = log1p(rows.x)
        self._middle = np.average(columns, axis=0, weights=rows.weight)
        spread = np.sqrt(np.average((columns - self._middle) ** 2, axis=0, weights=rows.weight))
        self._spread = np.where(spread > 1e-9, spread, 1.0)
        with threadpool_limits(1, user_api="blas"):
            self._beta = fit_logistic(self._design(columns), rows.bad, offset(rows, study), rows.weight)

    def served(self, rows: Snapshot) -> Floats:
        """Return the log-odds of bad over the reference exposure, shape (n,)."""
        return np.asarray(self._design(log1p(rows.x)) @ self._beta, dtype=np.float64)

    def log_odds(self, rows: Snapshot) -> Floats:
        """Return the log-odds of bad over each row's own exposure, shape (n,)."""
        return self.served(rows) + offset(rows, self._study)

    def _design(self, columns: Floats) -> Floats:
        """Return a constant column and the standardised columns."""
        return np.column_stack([np.ones(len(columns)), (columns - self._middle) / self._spread])


def fit_logistic(design: Floats, bad: Floats, start: Floats, weight: Floats) -> Floats:
    """Fit the weights of the columns that make the penalised log-loss least (Newton's method).

    The first column is a constant, and free of the penalty. `start`: log-odds that each row has already. Worked: half of the
    rows bad, no column but the constant, all start at 1: [-1].
    """
    penalty = np.full(design.shape[1], 2 * PENALTY)
    penalty[0] = 0.0
    beta = np.zeros(design.shape[1])
    beta[0] = base_log_odds(bad, start, weight)

    def loss(beta: Floats) -> float:
        z = start + design @ beta
        return float(weight @ (np.logaddexp(0, z) - bad * z)) + float(penalty @ beta**2) / 2

    for _ in range(MAX_STEPS):
        p = 1 / (1 + np.exp(-np.clip(start + design @ beta, -500, 500)))
        gradient = design.T @ (weight * (p - bad)) + penalty * beta
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        least = loss(beta)
        # Where predictions are far too sure, a whole step leads past the least loss.
        while loss(beta - step) > least and np.abs(step).max() > 1e-10:
            step /= 2
        beta = beta - step
        if np.abs(step).max() < 1e-9:
            break
    return beta
