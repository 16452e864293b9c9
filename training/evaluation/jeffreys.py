import numpy as np
from scipy.special import betainc, betaincinv

from scoring.base.arrays import Floats, Ints
from scoring.base.frozen import frozen
from training.evaluation.arrays import LEVEL


def jeffreys_interval(bad: float, rows: float) -> tuple[float, float]:
    """Return (low, high), the equal-tailed 95 % interval of a rate under Jeffreys' prior.

    It is the interval of Beta(bad + 1/2, rows - bad + 1/2), from 0 if none is bad, to 1 if all are. Worked: 1 of 10:
    0.0110 to 0.3813.
    """
    a, b = bad + 0.5, rows - bad + 0.5
    low = 0.0 if bad <= 0 else float(betaincinv(a, b, (1 - LEVEL) / 2))
    return low, 1.0 if bad >= rows else float(betaincinv(a, b, (1 + LEVEL) / 2))


def jeffreys_test(predicted: float, bad: float, rows: float) -> tuple[float, float]:
    """Return two p-values of a predicted rate: that it is too low, and that it is too high.

    They are the probabilities that the true rate is at most, and at least, `predicted`, and add up to 1. `bad` and
    `rows` are observed. Worked: 0.1 predicted, 3 of 10 bad: 0.0314 and 0.9686.
    """
    under = float(betainc(bad + 0.5, rows - bad + 0.5, min(max(predicted, 0.0), 1.0)))
    return under, 1.0 - under


def holm(p_values: Floats) -> Floats:
    """Return p-values adjusted for n questions at once, by Holm, shape (n,); NaN marks no test and stays NaN.

    Worked: 0.01, 0.04, 0.03 become 0.03, 0.06, 0.06.
    """
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


@frozen
class Rate:
    rows: int
    bad: int
    predicted: float
    observed: float
    low: float
    """Jeffreys' 95 % interval of `observed`, to `high`."""
    high: float
    effective_rows: float
    """Independent rows of as much information: fewer than `rows` if sellers repeat or weights differ."""

    @staticmethod
    def of(index: Ints, predicted: Floats, bad: Floats, weight: Floats, seller: Ints) -> "Rate":
        """Compute the predicted and the observed rate over the rows at `index`, with an interval.

        Worked: ten rows of ten sellers, one bad: observed 0.1, interval 0.0110 to 0.3813, 10 effective rows; the same
        if each row occurs twice.
        """
        weights, bads = weight[index], bad[index]
        observed = float(weights @ bads / weights.sum())
        rows = _count_effective_rows(weights, bads, observed, seller[index])
        low, high = jeffreys_interval(observed * rows, rows)
        return Rate(
            len(index), int(bads.sum()), float(weights @ predicted[index] / weights.sum()), observed, low, high, rows
        )

    def find_p_values(self) -> tuple[float, float]:
        """Return the p-values of `jeffreys_test` over independent rows."""
        return jeffreys_test(self.predicted, self.observed * self.effective_rows, self.effective_rows)

    def shown(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("rows", "bad", "predicted", "observed", "low", "high")}


def _count_effective_rows(weight: Floats, bad: Floats, rate: float, seller: Ints) -> float:
    """Return the rows over the design effect: the variance of the rate by seller over that for independent rows.

    At most the number of rows; without variance Kish's (sum w)^2 / sum w^2 of sellers.
    """
    _, cluster = np.unique(seller, return_inverse=True)
    by_seller = np.bincount(cluster, weights=weight)
    kish = max(float(by_seller.sum() ** 2 / (by_seller**2).sum()), 1.0)
    if not 0 < rate < 1:
        return kish
    robust = float((np.bincount(cluster, weights=weight * (bad - rate)) ** 2).sum()) / float(weight.sum()) ** 2
    if len(by_seller) == 1 or robust <= 0:
        return kish
    return max(min(float(len(bad)), rate * (1 - rate) / robust), 1.0)
