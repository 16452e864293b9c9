"""Compare the distributions of test and training rows: PSI and CSI with critical values for these samples.

The customary limits of 0.1 and 0.25 ignore the sample size. With 200 rows chance alone passes 0.1; with a million rows
0.001 is a difference.
"""

from dataclasses import dataclass

import numpy as np

from scoring.base.arrays import Floats, Ints
from training.evaluation.arrays import LEVEL

BINS = 10
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Shift:
    value: float
    critical: float
    """The value that the index passes by chance in 5 % of samples like these."""


def edges_of(reference: Floats, bins: int = BINS) -> Floats:
    """Return the upper edges (inclusive) of quantile bins, of all but the last bin: distinct quantiles of the
    reference.

    If many rows share the lowest value, lower values have a bin of their own. Worked: 1 to 10 in two bins: [5.5]; 0, 0,
    0, 1 in two bins: [just below 0, 0].
    """
    edges = np.unique(np.quantile(reference, np.arange(1, bins) / bins))
    lowest = reference.min()
    return np.append(np.nextafter(lowest, -np.inf), edges) if edges[0] == lowest else edges


def psi(reference: Floats, other: Floats) -> float:
    """Return the population stability index of counts (or weights) in the same bins: sum of (q - p) ln(q / p) over
    shares.

    A bin that is empty on one side counts as half a row there; a bin that is empty on both is left out. Worked: 50 and
    50 against 60 and 40: 0.1 ln 1.2 + 0.1 ln 1.25 = 0.0405.
    """
    known = (reference > 0) | (other > 0)
    p, q = (np.where(counts[known] > 0, counts[known], 0.5) for counts in (reference, other))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


class Samples:
    """The reference and another sample, as codes of their rows' sellers, shapes (n,) and (m,)."""

    def __init__(self, reference_seller: Ints, other_seller: Ints) -> None:
        sellers, cluster = np.unique(np.concatenate([reference_seller, other_seller]), return_inverse=True)
        self._sellers = len(sellers)
        self._first, self._second = cluster[: len(reference_seller)], cluster[len(reference_seller) :]

    def shift(self, reference: Floats, other: Floats, seed: int | list[int]) -> Shift:
        """Return the stability index of one column, over quantile bins of the reference; `reference` has the shape
        (n,), `other` (m,).

        The critical value is a multiplier bootstrap by seller, as if both samples had one source. Each draw gives every
        seller a normal weight; its index is the second-order form, sum of d^2 / share. For independent rows this is
        chi-square: with 10 bins and 1,000 rows twice, critical = 16.9 x (1/1000 + 1/1000) = 0.034.
        """
        edges = edges_of(reference)
        binned = np.searchsorted(edges, reference), np.searchsorted(edges, other)
        counts = [np.bincount(rows, minlength=len(edges) + 1).astype(np.float64) for rows in binned]
        known = (counts[0] + counts[1]) > 0
        pooled = ((counts[0] + counts[1]) / (len(reference) + len(other)))[known]
        moves = (self._moves(self._second, binned[1], counts[1]) - self._moves(self._first, binned[0], counts[0]))[
            :, known
        ]
        values, vectors = np.linalg.eigh(moves.T @ moves)
        normal = np.random.default_rng(seed).standard_normal((DRAWS, len(values)))
        apart = (normal * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return Shift(psi(*counts), float(np.quantile((apart**2 / pooled).sum(axis=1), LEVEL)))

    def _moves(self, cluster: Ints, binned: Ints, counts: Floats) -> Floats:
        cells = np.bincount(cluster * len(counts) + binned, minlength=self._sellers * len(counts))
        table = cells.reshape(self._sellers, len(counts)).astype(np.float64)
        rows = len(binned)
        return np.asarray((table - table.sum(axis=1, keepdims=True) * (counts / rows)) / rows)
