"""The scale: from raw score to points and, for display, to a probability."""

import math
from dataclasses import dataclass

import numpy as np

from scoring.arrays import Floats, Ints

BASE_POINTS = 600.0
BASE_ODDS = 20.0
PDO = 50.0
"""600 points at odds (good to bad) of 20 to 1; 50 points double the odds."""

MAX_POINTS = 1000


@dataclass(frozen=True, slots=True)
class Scale:
    """Points = clip(round(intercept + slope x raw score), 0, 1000).

    Only + and x, so equal on every machine. `p_intercept` and `p_slope` >= 0 calibrate the raw score (log-odds of bad
    over the reference exposure).
    """

    intercept: float
    slope: float
    p_intercept: float
    p_slope: float

    @staticmethod
    def from_calibration(p_intercept: float, p_slope: float) -> "Scale":
        """Return the scale of points for `logit(p_bad) = p_intercept + p_slope x raw`.

        Worked: with intercept 0 and slope 1, raw = -ln 20 (odds 20 to 1) gives 600 points, raw = -ln 40 gives 650.
        """
        per_logit = PDO / math.log(2.0)
        return Scale(
            intercept=BASE_POINTS - per_logit * (math.log(BASE_ODDS) + p_intercept),
            slope=-per_logit * p_slope,
            p_intercept=p_intercept,
            p_slope=p_slope,
        )

    @staticmethod
    def from_base(base: int) -> "Scale":
        """Return the scale of a page, whose raw score is what its tables take from the base.

        Worked: base 600 and raw 0 is 600 points, odds of 20 to 1; raw 50 is 550 points, odds of 10 to 1.
        """
        per_point = math.log(2.0) / PDO
        return Scale(float(base), -1.0, (BASE_POINTS - base) * per_point - math.log(BASE_ODDS), per_point)

    def points(self, raw: Floats) -> Ints:
        """Return the points (0 to 1000) of raw scores, shape (n,)."""
        return np.clip(np.rint(self.intercept + self.slope * raw), 0, MAX_POINTS).astype(np.int64)

    def p_bad(self, raw: float) -> float:
        """Return the probability of bad over the reference exposure, to 12 significant digits.

        Shown, and used for nothing.
        """
        logit = self.p_intercept + self.p_slope * raw
        chance = 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1.0 + math.exp(logit))
        return float(f"{chance:.12g}")
