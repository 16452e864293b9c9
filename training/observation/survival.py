"""Kaplan and Meier's estimate of how long something takes, when some of it is not over yet."""

from dataclasses import dataclass

import numpy as np

from scoring.arrays import Bools, Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """The share that is not over, as a step function of time: 1 before the first time."""

    time: Floats
    """Ascending times, shape (m,)."""
    share: Floats
    """The share that is not over from each time on, shape (m,)."""

    def before(self, time: Floats) -> Floats:
        """Return the share that is not over just before each time, shape of `time`."""
        return np.append(1.0, self.share)[np.searchsorted(self.time, time, side="left")]

    def quantile(self, p: float) -> float | None:
        """Return the time by which the share `p` is over; None if so much was never seen to be over."""
        place = np.flatnonzero(self.share <= 1 - p + 1e-12)
        return float(self.time[place[0]]) if len(place) else None


def kaplan_meier(time: Floats, is_over: Bools) -> Curve:
    """Estimate, by Kaplan and Meier, the share of n cases that is not over at each time.

    `time`: when each case ended or, where `is_over` is false, until when it was seen (censored). Worked: times 1, 2, 2,
    3, of which the second at 2 is not over: 1 - 1/4 = 0.75, 0.75 (1 - 1/3) = 0.5, then 0.
    """
    times, place = np.unique(time, return_inverse=True)
    ended = np.bincount(place, weights=is_over, minlength=len(times))
    left = np.bincount(place, minlength=len(times))
    at_risk = left[::-1].cumsum()[::-1]
    return Curve(times.astype(np.float64), np.cumprod(1 - ended / at_risk))
