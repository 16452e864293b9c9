"""The curves of a report, with at most 101 points a line."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.base.arrays import Floats
from training.evaluation.case import CANDIDATE, EvaluationCase
from training.evaluation.jeffreys import Rate
from training.evaluation.probability import tied_bins

GRID = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class Shares:
    """Cumulative shares of the weight of rows rejected, worst score first.

    Each array has the shape (distinct scores + 1,) and goes from 0 to 1; it stays 0 if it counts no rows.
    """

    good: Floats
    bad: Floats
    all: Floats

    @staticmethod
    def of(score: Floats, bad: Floats, weight: Floats) -> "Shares":
        """Return the cumulative shares by a score, each row by its weight.

        Worked: scores 3, 2, 1 with bad 1, 0, 0: bad 0, 1, 1, 1; good 0, 0, 0.5, 1.
        """
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)

        def shares(values: Floats) -> Floats:
            sums = np.append(0.0, np.cumsum(values[order])[ends])
            return sums / sums[-1] if sums[-1] > 0 else sums

        return Shares(shares(weight * (1 - bad)), shares(weight * bad), shares(weight))


def roc(shares: Shares) -> dict[str, Floats]:
    """Return the ROC curve by weight: `y`, the share of bad rows rejected, at hundredths `x` of good rows rejected."""
    return {"x": GRID, "y": _at(shares.good, shares.bad, GRID)}


def precision(shares: Shares, rate: float) -> dict[str, Floats]:
    """Return the curve by weight: `y`, the bad rate among the worst rows that hold the share `x` of the bad rows.

    `rate`: the bad rate of all rows.
    """
    x = GRID[1:]
    return {"x": x, "y": x * rate / np.maximum(_at(shares.bad, shares.all, x), 1e-12)}


def _at(x: Floats, y: Floats, wanted: Floats) -> Floats:
    last = np.append(np.flatnonzero(np.diff(x)), len(x) - 1)
    first = np.append(0, last[:-1] + 1)
    right = np.clip(np.searchsorted(x[last], wanted, side="left"), 0, len(last) - 1)
    left = np.maximum(right - 1, 0)
    exact = x[last[right]] <= wanted
    span = np.where(exact | (left == right), 1.0, x[last[right]] - x[last[left]])
    part = (wanted - x[last[left]]) / span
    between = y[last[left]] + part * (y[first[right]] - y[last[left]])
    return np.asarray(np.where(exact, y[last[right]], between))


def reliability(case: EvaluationCase) -> list[dict[str, Any]]:
    """Return a table for about each tenth of the rows by prediction, lowest first; equal predictions stay together.

    Each has the weighted predicted and observed rate, and Jeffreys' interval of the observed rate.
    """
    p_bad = case.probabilities()[CANDIDATE]
    return [Rate.of(index, p_bad, case.bad, case.weight, case.seller).shown() for index in tied_bins(p_bad)]
