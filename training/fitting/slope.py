"""Estimate the slope of exposure: how much the log-odds of bad rise with the logarithm of a row's own orders.

Score and slope compensate for each other. So a first step fits the slope beside each feature, and a second beside
earlier orders and models with that slope that have not seen the seller.
"""

from collections.abc import Callable

import numpy as np

from scoring.base.arrays import Floats
from scoring.base.frozen import frozen
from scoring.features.table import at_reference
from training.checks.check import Check
from training.evaluation.arrays import ERRORS_95
from training.evaluation.equal_volume import MIN_BAD
from training.fitting.additive import fit_slope_beside_features
from training.fitting.crossfit import cross_fit
from training.fitting.fit import RawScorer, log_exposure
from training.fitting.logistic import fit_with_errors
from training.observation.snapshots import Snapshot
from training.study.definition import Study

ESTIMATED, STATED, ASSUMED, CHAMPIONS = "estimated", "stated", "assumed", "of the champion"
"""Origin of a slope: from the training points; from the study; 1 for want of data; kept by a recalibration."""

DECIMALS = 4

MAX_SLOPE = 10.0
MATERIAL = 0.1
"""Tolerated difference of the test rows' slope beyond chance: over ten times the orders, 0.1 moves odds by a quarter.
"""


@frozen
class Slope:
    value: float
    how: str
    """ESTIMATED, STATED, ASSUMED or CHAMPIONS."""
    low: float | None = None
    """Lower end of its 95 % interval, by seller; None if stated or assumed."""
    high: float | None = None

    @property
    def text(self) -> str:
        """Return a sentence: "log-odds rise with 0.812 x ln(orders), as the study states"."""
        span = "" if self.low is None or self.high is None else f" (95 % interval {self.low:.3f} to {self.high:.3f})"
        return f"log-odds rise with {self.value:.3f} x ln(orders){span}, {_HOW[self.how]}"


_HOW = {
    ESTIMATED: "estimated at the training points by models that have not seen the seller",
    STATED: "as the study states",
    ASSUMED: "assumed, since the training points hold too little to estimate it",
    CHAMPIONS: "as of the champion that is recalibrated",
}


def estimate(rows: Snapshot, study: Study, fit: Callable[[int, Snapshot, Study], RawScorer]) -> Slope:
    """Estimate the slope of the log-odds of bad in ln(orders), at the training points `rows`.

    `fit` gets a fold, some rows and a study, and returns a scorer. The slope is 1, ASSUMED, if all rows have the same
    exposure or are too few.
    """
    log_orders = log_exposure(rows.window_orders, study)
    if np.ptp(log_orders) == 0:
        return Slope(1.0, ASSUMED)
    x = at_reference(rows.x, study.features)
    first_slope = fit_slope_beside_features(
        x, rows.bad, log_orders, rows.weight, [feature.direction for feature in study.features]
    )
    study_of_first_slope = study.with_exposure_slope(_clip_and_round(first_slope))
    raw = cross_fit(rows, rows, x, study.model.seed, lambda fold, part: fit(fold, part, study_of_first_slope))
    slope_and_error = None if raw is None else slope_beside_score(raw, log_orders, rows)
    if slope_and_error is None:
        return Slope(1.0, ASSUMED)
    value, error = slope_and_error
    low, high = (_clip_and_round(value + side * ERRORS_95 * error) for side in (-1, 1))
    return Slope(_clip_and_round(value), ESTIMATED, low, high)


def _clip_and_round(value: float) -> float:
    return round(min(max(value, -MAX_SLOPE), MAX_SLOPE), DECIMALS)


def slope_beside_score(score: Floats, log_orders: Floats, rows: Snapshot) -> tuple[float, float] | None:
    """Return (slope, standard error) of `log_orders` in the log-odds of bad, fitted with a score and the log of earlier
    orders; None if the rows leave the slope open.
    """
    controls = [column for column in (score, np.log1p(rows.orders)) if np.ptp(column) > 0]
    design = np.stack(
        [np.ones(len(log_orders)), *(column - column.mean() for column in (log_orders, *controls))], axis=1
    )
    weights_and_errors = fit_with_errors(design, rows.bad, np.zeros(len(log_orders)), rows.weight, rows.seller)
    return None if weights_and_errors is None else (float(weights_and_errors[0][1]), float(weights_and_errors[1][1]))


def check_slope(slope: Slope, raw: Floats, test: Snapshot, study: Study) -> Check:
    """Check that the trained slope agrees with the slope of the test rows, if these tell one.

    They disagree if their distance exceeds both intervals' reach by more than MATERIAL.
    """
    few = test.bad.sum() < MIN_BAD
    slope_and_error = None if few else slope_beside_score(raw, log_exposure(test.window_orders, study), test)
    if slope_and_error is None:
        return Check("exposure_slope", True, 0.0, "the test rows do not say how bad rises with orders")
    value, error = slope_and_error
    trained_error = 0.0 if slope.low is None or slope.high is None else (slope.high - slope.low) / (2 * ERRORS_95)
    low, high = value - ERRORS_95 * error, value + ERRORS_95 * error
    beyond = abs(value - slope.value) - ERRORS_95 * float(np.hypot(error, trained_error))
    agrees = beyond <= MATERIAL
    span = f"(95 % interval {low:.3f} to {high:.3f})"
    finding = f"beside score and past orders, log-odds at test rise with {value:.3f} x ln(orders) {span}"
    verdict = "which agrees with" if agrees else "which contradicts"
    text = f"{finding}, {verdict} the slope of {slope.value:.3f} that was trained with"
    return Check("exposure_slope", agrees, round(value, 4), text, MATERIAL)
