"""The slope of exposure: by how much the log-odds of bad rise with the logarithm of a row's own orders.

Were every order as risky as the next, bad as "at least one incident" would rise with slope 1; a label of k incidents rises
more steeply, one that a person gives per seller hardly at all. A slope of 1 that is assumed and not measured teaches the
model that large sellers are safe (or dangerous) where they are not. So it is estimated, on training points alone.

Score and slope make up for each other's faults: fitted with a wrong slope, the score leans on what a seller sold before, and
beside it alone the wrong slope looks right (in a simulation without any slope, 0.4 was found beside a model that had
assumed 1; of 0.4 it was 0.7). So it is estimated in two steps: beside what each feature adds, both fitted at once; then
beside models with that slope which have not seen the seller, and beside what it sold before (of slopes 0, 0.4 and 1 that
found -0.03, 0.40 and 0.99 in 3,000 rows). What identifies the slope is how much more or less than before a seller came to
sell.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scoring.base.arrays import Floats
from scoring.features.table import at_reference
from training.evaluation.arrays import ERRORS_95, sigmoid
from training.fitting.additive import slope_beside
from training.fitting.crossfit import cross_fit
from training.fitting.fit import Raw, log_exposure
from training.fitting.logistic import fit_logistic
from training.observation.snapshots import Snapshot
from training.study.definition import Study

ESTIMATED, STATED, ASSUMED, CHAMPIONS = "estimated", "stated", "assumed", "of the champion"
"""How a slope came about: from the training points; from the study; 1 for want of data; kept by a recalibration."""

DIGITS = 4
"""Decimals that are kept: the last digits of a search differ between machines."""

MOST = 10.0
"""Largest slope, either way."""
MATERIAL = 0.1
"""Distance of the test rows' slope from the slope used that is allowed beyond chance: over ten times the orders, 0.1
moves odds by a quarter.
"""


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope and how it came about."""

    value: float
    """The slope."""
    how: str
    """How it came about: ESTIMATED, STATED, ASSUMED or CHAMPIONS."""
    low: float | None = None
    """Lower end of its 95 % interval, by seller; None where it was not estimated."""
    high: float | None = None
    """Upper end of its 95 % interval, by seller; None where it was not estimated."""

    @property
    def text(self) -> str:
        """Describe the slope, its interval and how it came about, as a part of a sentence."""
        span = "" if self.low is None or self.high is None else f" (95 % interval {self.low:.3f} to {self.high:.3f})"
        return f"log-odds rise with {self.value:.3f} x ln(orders){span}, {_HOW[self.how]}"


_HOW = {
    ESTIMATED: "estimated at the training points by models that have not seen the seller",
    STATED: "as the study states",
    ASSUMED: "assumed, since the training points hold too little to estimate it",
    CHAMPIONS: "as of the champion that is recalibrated",
}
"""How a slope came about, in words."""


def estimate(rows: Snapshot, study: Study, fit: Callable[[int, Snapshot, Study], Raw]) -> Slope:
    """Estimate the slope of the log-odds of bad in ln(orders), at the training points `rows`.

    `fit` gets the number of a fold, some rows and a study, and returns what scores inputs by a model of these. The slope is
    1, ASSUMED, where all rows have the same exposure or the rows are too few to estimate it.
    """
    own = log_exposure(rows.window_orders, study)
    if np.ptp(own) == 0:
        return Slope(1.0, ASSUMED)
    x = at_reference(rows.x, study.features)
    first = slope_beside(x, rows.bad, own, rows.weight, [feature.direction for feature in study.features])
    near = study.with_exposure_slope(_bounded(first))
    raw = cross_fit(rows, rows, x, study.model.seed, lambda fold, part: fit(fold, part, near))
    found = None if raw is None else slope_beside_score(raw, own, rows)
    if found is None:
        return Slope(1.0, ASSUMED)
    value, error = found
    low, high = (_bounded(value + side * ERRORS_95 * error) for side in (-1, 1))
    return Slope(_bounded(value), ESTIMATED, low, high)


def _bounded(value: float) -> float:
    """Return the value within -MOST to MOST, rounded to DIGITS decimals."""
    return round(min(max(value, -MOST), MOST), DIGITS)


def slope_beside_score(score: Floats, own: Floats, rows: Snapshot) -> tuple[float, float] | None:
    """Return (slope, standard error) of `own` in the log-odds of bad, beside a score.

    Beside it stand the score, of any slope, and the logarithm of the orders before the observation. The standard error
    counts rows of one seller as one (Huber's sandwich). None where the rows do not determine the slope, or the steps do
    not come to an end.
    """
    others = [column for column in (score, np.log1p(rows.orders)) if np.ptp(column) > 0]
    design = np.stack([np.ones(len(own)), *(column - column.mean() for column in (own, *others))], axis=1)
    fitted = fit_logistic(design, rows.bad, np.zeros(len(own)), rows.weight, penalty=0.0)
    if not fitted.ended:
        return None
    _, cluster = np.unique(rows.seller, return_inverse=True)
    gone = design * (rows.weight * (rows.bad - sigmoid(design @ fitted.beta)))[:, None]
    by_seller = np.stack([np.bincount(cluster, weights=column) for column in gone.T], axis=1)
    bread = np.linalg.inv(fitted.hessian)
    variance = bread @ (by_seller.T @ by_seller) @ bread
    return float(fitted.beta[1]), float(np.sqrt(variance[1, 1]))


@dataclass(frozen=True, slots=True)
class SlopeAtTest:
    """The slope that the test rows show beside the score."""

    value: float
    """The slope."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of its 95 % interval."""
    agrees: bool
    """Whether it agrees with the slope used."""
    text: str
    """The result as a sentence."""


def compare_with_test(slope: Slope, raw: Floats, test: Snapshot, study: Study) -> SlopeAtTest | None:
    """Compare the slope trained with to the slope of the test rows; None if they determine none.

    `raw`: the model's scores of the test rows. They contradict it where they are farther from it than both intervals
    together reach, by more than MATERIAL.
    """
    found = slope_beside_score(raw, log_exposure(test.window_orders, study), test)
    if found is None:
        return None
    value, error = found
    own = 0.0 if slope.low is None or slope.high is None else (slope.high - slope.low) / (2 * ERRORS_95)
    low, high = value - ERRORS_95 * error, value + ERRORS_95 * error
    beyond = abs(value - slope.value) - ERRORS_95 * float(np.hypot(error, own))
    agrees = beyond <= MATERIAL
    span = f"(95 % interval {low:.3f} to {high:.3f})"
    finding = f"beside score and past orders, log-odds at test rise with {value:.3f} x ln(orders) {span}"
    verdict = "which agrees with" if agrees else "which contradicts"
    return SlopeAtTest(
        value, low, high, agrees, f"{finding}, {verdict} the slope of {slope.value:.3f} that was trained with"
    )
