"""Kaplan and Meier's estimate of durations, some unfinished."""

from dataclasses import dataclass

import numpy as np

from scoring.base.arrays import Bools, Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """The unfinished share as a step function of time: 1 before the first time."""

    time: Floats
    """Ascending, shape (m,)."""
    share: Floats
    """From each time on, shape (m,)."""

    def before(self, time: Floats) -> Floats:
        """Return the unfinished share just before each time."""
        return np.append(1.0, self.share)[np.searchsorted(self.time, time, side="left")]

    def quantile(self, p: float) -> float | None:
        """Return the time when the share `p` is finished; None if later than seen."""
        place = np.flatnonzero(self.share <= 1 - p + 1e-12)
        return float(self.time[place[0]]) if len(place) else None


def kaplan_meier(time: Floats, is_over: Bools) -> Curve:
    """Estimate the unfinished share of n cases at each time.

    `time` is the end of each case or, if not `is_over`, the last time it was seen. Worked: times 1, 2, 2, 3, the second
    2 unfinished, give 1 - 1/4 = 0.75, 0.75 (1 - 1/3) = 0.5, then 0.
    """
    times, place = np.unique(time, return_inverse=True)
    ended = np.bincount(place, weights=is_over, minlength=len(times))
    left = np.bincount(place, minlength=len(times))
    at_risk = left[::-1].cumsum()[::-1]
    return Curve(times.astype(np.float64), np.cumprod(1 - ended / at_risk))
