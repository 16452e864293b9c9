import math

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.frozen import frozen

BASE_POINTS = 600.0
BASE_ODDS = 20.0
PDO = 50.0
"""600 points at odds (good to bad) of 20 to 1; 50 points double the odds."""

POINTS_PER_LOGIT = PDO / math.log(2.0)

MAX_POINTS = 1000


@frozen
class Scale:
    """Points = clip(base - raw score, 0, 1000), in whole numbers."""

    base: int

    @staticmethod
    def base_of(log_odds: float) -> int:
        """Return the base at which a raw score of 0 has these log-odds of bad: -ln 20 gives 600, -ln 40 gives 650."""
        return round(BASE_POINTS - POINTS_PER_LOGIT * (math.log(BASE_ODDS) + log_odds))

    def points(self, raw: Floats) -> Ints:
        """Return whole points, 0 to 1000: of base 600, a raw score of 40 gives 560."""
        return np.asarray(np.clip(self.base - raw, 0, MAX_POINTS), dtype=np.int64)

    def log_odds(self, raw: Floats) -> Floats:
        """Return the log-odds of bad over the reference exposure, shape (n,): -ln 20 at 600 points."""
        return (BASE_POINTS - self.base + raw) / POINTS_PER_LOGIT - math.log(BASE_ODDS)

    def p_bad(self, raw: Floats) -> list[float]:
        """Return the probabilities of bad over the reference exposure, to 12 digits, for display only."""
        return [float(f"{_find_chance(logit):.12g}") for logit in self.log_odds(raw).tolist()]


def _find_chance(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1.0 + math.exp(logit))
