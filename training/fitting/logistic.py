"""Logistic regression on the logarithms of the model's own columns: the baseline that a model must beat."""

import numpy as np
from threadpoolctl import threadpool_limits

from scoring.base.arrays import Floats, Ints
from scoring.base.frozen import frozen
from training.evaluation.arrays import sigmoid
from training.fitting.additive import log1p
from training.fitting.fit import base_log_odds, exposure_offset
from training.fitting.folds import assign_folds
from training.observation.snapshots import Snapshot
from training.study.definition import Study

PENALTIES = (1.0, 5.0, 25.0, 125.0, 625.0)
"""On squared weights of standardised columns, against the sum of log-losses; the least held-out loss chooses."""

FOLDS, MAX_TRIED = 3, 20_000
LEAST_OTHERS, LEAST_SPREAD = 10, 1e-5
"""A column is left out if fewer rows differ from its median, or if its logarithm spreads less."""

MAX_STEPS = 100
SINGULAR = 1e10


class Logistic:
    """Logistic regression on the logarithm of each column, standardised; a row's own exposure is an offset.

    No row reaches beyond the training rows' range, so that one rare value cannot decide.
    """

    def __init__(self, rows: Snapshot, study: Study) -> None:
        columns = log1p(rows.x)
        self._range = columns.min(axis=0), columns.max(axis=0)
        self._middle = np.average(columns, axis=0, weights=rows.weight)
        self._spread = np.sqrt(np.average((columns - self._middle) ** 2, axis=0, weights=rows.weight))
        others = (columns != np.median(columns, axis=0)).sum(axis=0)
        self._kept = (others >= LEAST_OTHERS) & (self._spread > LEAST_SPREAD)
        design, start = self._design(rows), exposure_offset(rows, study)
        penalty = _choose_penalty(design, rows, start, study.model.seed)
        self._beta = fit_logistic(design, rows.bad, start, rows.weight, penalty).beta

    def served(self, rows: Snapshot) -> Floats:
        """Return the log-odds of bad over the reference exposure."""
        return np.asarray(self._design(rows) @ self._beta, dtype=np.float64)

    def _design(self, rows: Snapshot) -> Floats:
        columns = np.clip(log1p(rows.x), *self._range)
        scaled = ((columns - self._middle) / np.where(self._kept, self._spread, 1.0))[:, self._kept]
        return np.column_stack([np.ones(len(columns)), scaled])


def _choose_penalty(design: Floats, rows: Snapshot, start: Floats, seed: int) -> float:
    """Return the penalty with the least loss of folds that were not fitted on."""
    sample = np.sort(np.random.default_rng(seed).permutation(len(design))[:MAX_TRIED])
    design, bad, start, weight = design[sample], rows.bad[sample], start[sample], rows.weight[sample]
    fold = assign_folds(rows.seller[sample], FOLDS, seed)
    if any(not 0 < bad[fold != held_out_fold].sum() < (fold != held_out_fold).sum() for held_out_fold in range(FOLDS)):
        return PENALTIES[len(PENALTIES) // 2]

    def sum_held_out_losses(penalty: float) -> float:
        total = 0.0
        for held_out_fold in range(FOLDS):
            inside, outside = fold != held_out_fold, fold == held_out_fold
            beta = fit_logistic(design[inside], bad[inside], start[inside], weight[inside], penalty).beta
            log_odds = start[outside] + design[outside] @ beta
            total += float(weight[outside] @ (np.logaddexp(0.0, log_odds) - bad[outside] * log_odds))
        return total

    return min(PENALTIES, key=sum_held_out_losses)


@frozen
class LogisticFit:
    beta: Floats
    hessian: Floats
    converged: bool
    """Otherwise the weights mean nothing."""


def fit_logistic(design: Floats, bad: Floats, start: Floats, weight: Floats, penalty: float = 5.0) -> LogisticFit:
    """Fit a logistic regression with a ridge penalty, by Newton's method.

    The first column is a constant without penalty. `start`: log-odds that each row has already. If the steps do
    not converge, `converged` is False. Worked: half of the rows bad, no column but the constant, all start at 1: [-1].
    """
    factors = np.full(design.shape[1], 2 * penalty)
    factors[0] = 0.0
    ridge = np.diag(factors + 1e-9) if penalty else np.zeros((len(factors), len(factors)))
    beta = np.zeros(design.shape[1])
    beta[0] = base_log_odds(bad, start, weight)

    def loss(beta: Floats) -> float:
        log_odds = start + design @ beta
        return float(weight @ (np.logaddexp(0, log_odds) - bad * log_odds)) + float(factors @ beta**2) / 2

    with threadpool_limits(1, user_api="blas"):
        for _ in range(MAX_STEPS):
            p_bad = 1 / (1 + np.exp(-np.clip(start + design @ beta, -500, 500)))
            gradient = design.T @ (weight * (p_bad - bad)) + factors * beta
            hessian = (design * (weight * p_bad * (1 - p_bad))[:, None]).T @ design + ridge
            if np.linalg.cond(hessian) > SINGULAR:
                break
            step = np.linalg.solve(hessian, gradient)
            least = loss(beta)
            while loss(beta - step) > least and np.abs(step).max() > 1e-10:
                step /= 2
            beta = beta - step
            if np.abs(step).max() < 1e-9:
                return LogisticFit(beta, hessian, converged=True)
    return LogisticFit(beta, hessian, converged=False)


def fit_with_errors(
    design: Floats, bad: Floats, start: Floats, weight: Floats, seller: Ints
) -> tuple[Floats, Floats] | None:
    """Fit without a penalty; return weights and standard errors, rows of one seller taken as one (Huber's sandwich).

    None if the rows leave the weights open, or if the steps diverge.
    """
    fitted = fit_logistic(design, bad, start, weight, penalty=0.0)
    if not fitted.converged:
        return None
    _, cluster = np.unique(seller, return_inverse=True)
    gradients = design * (weight * (bad - sigmoid(start + design @ fitted.beta)))[:, None]
    by_seller = np.stack([np.bincount(cluster, weights=column) for column in gradients.T], axis=1)
    inverse = np.linalg.inv(fitted.hessian)
    return fitted.beta, np.sqrt(np.diag(inverse @ (by_seller.T @ by_seller) @ inverse))


def calibrate(raw: Floats, bad: Floats, start: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Fit Platt's calibration of raw scores; return (intercept, slope), the slope >= 0.

    logit p = intercept + slope x raw + start, the slope shrunk a little towards 1. `start` is each row's own exposure
    offset. If all rows are good or all are bad, return (0, 1).
    """
    if not 0 < bad.sum() < len(bad):
        return 0.0, 1.0
    weight = np.ones_like(raw) if weight is None else weight
    intercept, beyond = fit_logistic(np.stack([np.ones_like(raw), raw], axis=1), bad, start + raw, weight, 0.5e-3).beta
    return float(intercept), max(1 + float(beyond), 0.0)
