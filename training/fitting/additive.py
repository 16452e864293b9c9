"""The additive start of a model: each feature's own contribution to the log-odds, as a step function, before LightGBM
adds trees.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from scoring.base.arrays import Floats, Ints
from scoring.base.frozen import frozen
from training.fitting.curves import Curve

KNOTS = 64
MAX_ROWS = 50_000
PENALTY = 50.0

MAX_STEPS = 300
DIGITS = 9
"""Decimals of a step's value: coarser than the difference of two runs of the optimiser."""


def fit_additive(x: Floats, bad: Floats, start: Floats, weight: Floats, directions: Sequence[int]) -> list[Curve]:
    """Fit, for each feature that adds something, a step function of its contribution to the log-odds of bad, without a
    constant.

    `start`: log-odds that each row has already. `directions`: +1 may only lower the log-odds, -1 only raise them, 0 is
    free. More than MAX_ROWS rows are thinned evenly.
    """
    sample = _thin_rows(len(x))
    columns = _make_columns(x[sample], directions)
    if not columns.used:
        return []
    weights = _fit_weights(columns.design, bad[sample], start[sample], weight[sample], columns.signs)
    curves = []
    for place, (table, _), column_weights in zip(columns.used, columns.tables, weights.reshape(-1, 2), strict=True):
        values = np.round(table @ column_weights, DIGITS)
        if values.min() < values.max():
            curves.append(Curve((place,), (columns.knots[place][:-1],), values))
    return curves


_SCALE = 100.0
"""Leaves nearly no penalty."""


def fit_slope_beside_features(
    x: Floats, bad: Floats, extra: Floats, weight: Floats, directions: Sequence[int]
) -> float:
    """Return the slope of `extra` in the log-odds of bad, fitted together with all features.

    `extra`: a number of each row, such as ln(orders), shape (n,); it alone has no penalty.
    """
    sample = _thin_rows(len(x))
    columns = _make_columns(x[sample], directions)
    design = np.column_stack([columns.design, extra[sample] * _SCALE])
    start = np.zeros(len(sample))
    weights = _fit_weights(design, bad[sample], start, weight[sample], np.append(columns.signs, 0))
    return float(weights[-1]) * _SCALE


def _thin_rows(row_count: int) -> Ints:
    """Return the places of at most MAX_ROWS rows, at even steps."""
    return np.unique(np.linspace(0, row_count - 1, min(row_count, MAX_ROWS)).astype(np.int64))


@frozen
class _Columns:
    knots: list[Floats]
    """By feature, rising."""
    used: list[int]
    """Places of the features with more than one knot; `tables` holds one table for each."""
    tables: list[tuple[Floats, NDArray[np.intp]]]
    """From `_make_table`."""
    signs: Ints
    """By column: +1 if its weight is at least 0, -1 if at most 0, 0 if free."""
    design: Floats
    """Shape (n, 2 * used): the logarithm and the rank of each used feature."""


def _make_columns(x: Floats, directions: Sequence[int]) -> _Columns:
    knots = [np.unique(np.quantile(column, np.linspace(0, 1, KNOTS), method="inverted_cdf")) for column in x.T]
    used = [place for place, values in enumerate(knots) if len(values) > 1]
    tables = [_make_table(x[:, place], knots[place]) for place in used]
    signs = np.repeat(np.array([-directions[place] for place in used], dtype=np.int64), 2)
    design = np.hstack([np.zeros((len(x), 0)), *(table[bins] for table, bins in tables)])
    return _Columns(knots, used, tables, signs, design)


def _make_table(column: Floats, knots: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return logarithm and rank of each knot, shape (knots, 2), and the knot of each row.

    Both columns are standardised over the rows.
    """
    bins = np.minimum(np.searchsorted(knots, column), len(knots) - 1)
    table = np.stack([log1p(knots), np.arange(len(knots)) / (len(knots) - 1)], axis=1)
    seen = table[bins]
    return (table - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-9), bins


def log1p(x: Floats) -> Floats:
    """Return ln(1 + x), and -ln(1 - x) for x below 0."""
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)))


def _fit_weights(design: Floats, bad: Floats, start: Floats, weight: Floats, signs: Ints) -> Floats:
    """Return the ridge weights of the columns within their signs, without the free constant."""
    bounds = [
        (None, None),
        *((0, None) if sign > 0 else (None, 0) if sign < 0 else (None, None) for sign in signs.tolist()),
    ]

    def loss(beta: Floats) -> tuple[float, Floats]:
        log_odds = start + beta[0] + design @ beta[1:]
        p_bad = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
        residual = weight * (p_bad - bad)
        value = float((weight * (np.logaddexp(0, log_odds) - bad * log_odds)).sum() + PENALTY * (beta[1:] ** 2).sum())
        return value, np.concatenate([[residual.sum()], design.T @ residual + 2 * PENALTY * beta[1:]])

    first_weights = np.zeros(design.shape[1] + 1)
    # Two threads took two to five times as long on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        optimum = minimize(
            loss, first_weights, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": MAX_STEPS}
        )
    return np.asarray(optimum.x[1:], dtype=np.float64)
