"""Quality of a ranking: AUC, KS, Gini, recall of loss. A higher score is worse."""

from dataclasses import dataclass

import numpy as np

from scoring.base.arrays import Floats, Ints

HARM = 0.05


@dataclass(frozen=True, slots=True)
class Ranking:
    good: Ints
    """Indices of rows, lowest score first, like `bad`."""
    bad: Ints
    below: Ints
    """For each bad row, the number of good rows with a lower score."""
    upto: Ints
    """For each bad row, the number of good rows with a lower or equal score."""

    @staticmethod
    def of(score: Floats, bad: Floats) -> "Ranking":
        good = np.flatnonzero(bad == 0)
        good = good[np.argsort(score[good], kind="stable")]
        worse = np.flatnonzero(bad == 1)
        ordered = score[good]
        below = np.searchsorted(ordered, score[worse], side="left")
        return Ranking(good, worse, below, np.searchsorted(ordered, score[worse], side="right"))

    def figures(self, weight: Floats, loss: Floats, harm: float = HARM) -> tuple[float, float]:
        """Return AUC and recall of loss with `weight` copies of each row; NaN if undefined.

        AUC: chance that a bad row scores above a good row, ties one half. Recall of loss: reject rows worst first until
        `harm` of the good rows (by weight) are rejected. From rows with equal scores the same share is rejected. The
        figure is the share of all loss rejected. Worked: scores 1, 2, 2 with bad 0, 0, 1: the bad row beats one good
        row and ties with one: AUC 0.75. At a harm of one quarter, half a good row may be rejected, so half of the two
        tied rows: recall of loss 0.5.
        """
        goods = np.empty(len(self.good) + 1)
        goods[0] = 0.0
        np.cumsum(weight[self.good], out=goods[1:])
        below, upto, total = goods[self.below], goods[self.upto], goods[-1]
        bads = weight[self.bad]
        lost = bads * loss[self.bad]
        pairs = total * bads.sum()
        auc = float(bads @ (below + upto)) / (2 * pairs) if pairs > 0 else np.nan
        if total <= 0 or lost.sum() <= 0:
            return auc, np.nan
        budget = harm * total - (total - upto)
        tied = upto - below
        share = np.clip(budget / np.where(tied > 0, tied, 1.0), 0.0, 1.0)
        share = np.where(tied > 0, share, budget >= -1e-9 * total)
        return auc, float(lost @ share) / float(lost.sum())


def auc(score: Floats, bad: Floats, weight: Floats | None = None) -> float:
    return Ranking.of(score, bad).figures(np.ones(len(bad)) if weight is None else weight, bad)[0]


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
