"""Compare the distributions of test and training rows: PSI and CSI with critical values for these samples.

The customary limits of 0.1 and 0.25 ignore the sample size.
"""

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.frozen import frozen
from training.evaluation.arrays import LEVEL, Interval

BINS = 10
DRAWS = 2000


@frozen
class Shift:
    value: float
    critical: float
    """The value that the index passes by chance in 5 % of samples like these."""


def edges_of(reference: Floats, bins: int = BINS) -> Floats:
    """Return the inclusive upper edges of quantile bins but the last: distinct quantiles of the reference.

    If many rows share the lowest value, lower values have a bin of their own. Worked: 1 to 10 in two bins: [5.5]; 0, 0,
    0, 1 in two bins: [just below 0, 0].
    """
    edges = np.unique(np.quantile(reference, np.arange(1, bins) / bins))
    lowest = reference.min()
    return np.append(np.nextafter(lowest, -np.inf), edges) if edges[0] == lowest else edges


def psi(reference: Floats, other: Floats) -> float:
    """Return the population stability index of counts (or weights) in the same bins: sum of (q - p) ln(q / p) over
    shares.

    A bin empty on one side counts as half a row there. Worked: 50 and 50 against 60 and 40: 0.1 ln 1.2 + 0.1 ln 1.25 =
    0.0405.
    """
    is_filled = (reference > 0) | (other > 0)
    p, q = (np.where(counts[is_filled] > 0, counts[is_filled], 0.5) for counts in (reference, other))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


class Samples:
    """The reference and another sample, as codes of their rows' sellers, shapes (n,) and (m,)."""

    def __init__(self, reference_seller: Ints, other_seller: Ints) -> None:
        sellers, cluster = np.unique(np.concatenate([reference_seller, other_seller]), return_inverse=True)
        self._sellers = len(sellers)
        self._first, self._second = cluster[: len(reference_seller)], cluster[len(reference_seller) :]

    def shift(self, reference: Floats, other: Floats, seed: int | list[int]) -> Shift:
        """Return the stability index of one column over quantile bins of `reference`, shape (n,); `other` has (m,).

        The critical value is a multiplier bootstrap by seller, as if both samples had one source. Worked: with 10 bins
        and 1,000 independent rows twice it is 16.9 x (1/1000 + 1/1000) = 0.034.
        """
        edges = edges_of(reference)
        bins = np.searchsorted(edges, reference), np.searchsorted(edges, other)
        counts = [np.bincount(rows, minlength=len(edges) + 1).astype(np.float64) for rows in bins]
        is_filled = (counts[0] + counts[1]) > 0
        pooled = ((counts[0] + counts[1]) / (len(reference) + len(other)))[is_filled]
        influences = (
            self._measure_influences(self._second, bins[1], counts[1])
            - self._measure_influences(self._first, bins[0], counts[0])
        )[:, is_filled]
        eigenvalues, eigenvectors = np.linalg.eigh(influences.T @ influences)
        normal = np.random.default_rng(seed).standard_normal((DRAWS, len(eigenvalues)))
        chance_differences = (normal * np.sqrt(np.maximum(eigenvalues, 0.0))) @ eigenvectors.T
        return Shift(psi(*counts), float(np.quantile((chance_differences**2 / pooled).sum(axis=1), LEVEL)))

    def _measure_influences(self, cluster: Ints, bin_of_row: Ints, counts: Floats) -> Floats:
        """Return the change of each bin's share by one more copy of each seller, shape (sellers, bins)."""
        rows_by_cell = np.bincount(cluster * len(counts) + bin_of_row, minlength=self._sellers * len(counts))
        rows_by_seller = rows_by_cell.reshape(self._sellers, len(counts)).astype(np.float64)
        rows = len(bin_of_row)
        return np.asarray((rows_by_seller - rows_by_seller.sum(axis=1, keepdims=True) * (counts / rows)) / rows)


@frozen
class Sellers:
    """n rows; arrays of shape (n,)."""

    points: Ints
    seller: Ints
    tenure_days: Floats
    orders: Floats


QUARTERS = 4
RESAMPLES = 200


def compare_with_today(judged: Sellers, today: Sellers, seed: int) -> dict[str, Interval]:
    """Return the stability index of the points from the judged rows to today's sellers.

    `all`: as they are; `alike`: today's rows weighted to the judged rows' tenure and orders, in quarters. Intervals are
    from sellers resampled, less the bootstrap's bias.
    """
    edges = edges_of(judged.points.astype(np.float64))
    bounds = [np.quantile(values, np.arange(1, QUARTERS) / QUARTERS) for values in (judged.tenure_days, judged.orders)]
    sellers = np.unique(np.concatenate([judged.seller, today.seller]))
    bins, cells_of_sides, sellers_of_sides = len(edges) + 1, [], []
    for side in (judged, today):
        tenure, orders = (
            np.searchsorted(limits, numbers)
            for limits, numbers in zip(bounds, (side.tenure_days, side.orders), strict=True)
        )
        cells_of_sides.append((tenure * QUARTERS + orders) * bins + np.searchsorted(edges, side.points))
        sellers_of_sides.append(np.searchsorted(sellers, side.seller))

    def measure(copies: Floats) -> tuple[float, float]:
        judged_counts, today_counts = (
            np.bincount(cells, copies[row_sellers], QUARTERS**2 * bins).reshape(-1, bins)
            for cells, row_sellers in zip(cells_of_sides, sellers_of_sides, strict=True)
        )
        segment_weight = (
            judged_counts.sum(axis=1) / np.maximum(today_counts.sum(axis=1), 1e-12) * (today_counts.sum(axis=1) > 0)
        )
        return psi(judged_counts.sum(axis=0), today_counts.sum(axis=0)), psi(
            judged_counts.sum(axis=0), segment_weight @ today_counts
        )

    indexes = measure(np.ones(len(sellers)))
    rng = np.random.default_rng(seed)
    draws = np.array([measure(rng.poisson(1.0, len(sellers)).astype(np.float64)) for _ in range(RESAMPLES)])
    low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    return {
        name: Interval(indexes[k], 2 * indexes[k] - float(high[k]), 2 * indexes[k] - float(low[k]))
        for k, name in enumerate(("all", "alike"))
    }
