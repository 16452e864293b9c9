"""DeLong's test of two AUCs on the same rows: shown because readers expect it; it decides nothing.

It assumes independent rows. Rows of one seller are not independent, so its interval is too narrow; the cluster bootstrap by
seller decides.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata

from scoring.arrays import Floats
from training.evaluation.arrays import Interval


@dataclass(frozen=True, slots=True)
class DeLong:
    """The difference of two AUCs, with its test."""

    difference: float
    """AUC of the first score less that of the second."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of its 95 % interval."""
    p: float
    """Two-sided p-value of no difference."""


def delong(first: Floats, second: Floats, bad: Floats) -> DeLong:
    """Test whether two scores of the same rows have the same AUC.

    The paired test by midranks (Sun and Xu 2014), O(n log n). NaN with fewer than two bad or two good rows.

    Worked: bad rows score 1, 3 and good ones 0, 2 by the first score (AUC 0.75), all alike by the second (0.5): of each
    bad row, 0.5 and 1 of the good ones lie below; of each good row, 1 and 0.5 of the bad ones above: variance
    0.125 / 2 + 0.125 / 2 = 0.125, difference 0.25, p = 2 x (1 - Phi(0.25 / 0.3536)) = 0.4795.
    """
    is_bad = bad == 1
    bads, goods = int(is_bad.sum()), int((~is_bad).sum())
    if bads < 2 or goods < 2:
        return DeLong(math.nan, math.nan, math.nan, math.nan)
    of_bad, of_good = [], []
    for score in (first, second):
        overall = rankdata(score)
        of_bad.append((overall[is_bad] - rankdata(score[is_bad])) / goods)
        of_good.append(1 - (overall[~is_bad] - rankdata(score[~is_bad])) / bads)
    difference = float(of_bad[0].mean() - of_bad[1].mean())
    variance = np.var(of_bad[0] - of_bad[1], ddof=1) / bads + np.var(of_good[0] - of_good[1], ddof=1) / goods
    error = math.sqrt(float(variance))
    p = 2 * float(ndtr(-abs(difference) / error)) if error > 0 else float(difference == 0)
    interval = Interval.within(difference, error)
    return DeLong(difference, interval.low, interval.high, p)
