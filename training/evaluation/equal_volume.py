"""Ranking at equal volume: over pairs of a bad and a good row of one day whose windows settled about as many orders.

Large sellers are bad more often, so an AUC over all pairs rewards a score that predicts volume.
"""

from collections.abc import Mapping

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.frozen import frozen
from training.evaluation.arrays import Interval, groups_of

LARGER, SMALLER = 6, 5
"""Greatest ratio of like volumes."""
MIN_BAD, MIN_PAIRS = 40, 1_000
"""Fewer bad rows, or pairs, refuse no model: ranking is not judged, and a person signs the rest."""


@frozen
class EqualVolume:
    value: float
    """Chance that a bad row scores above a good row of like volume, ties one half; NaN without a pair."""
    pairs: float
    bad: int
    """Bad rows that are in a pair."""
    influence: Floats
    """Change of the value for one more copy of each seller, shape (sellers,), in the order of the sellers' codes."""

    def interval(self) -> Interval:
        return estimate_by_jackknife(self.value, self.influence).clip(0.0, 1.0)


def estimate_by_jackknife(value: float, influence: Floats) -> Interval:
    """Return a figure with its 95 % interval, all rows of a seller taken as one.

    The variance is the sum of the squares of `influence` (infinitesimal jackknife).
    Worked: 0.6 with influences 0.03 and -0.04 is 0.6 (0.502 to 0.698).
    """
    return Interval.from_error(value, float(np.sqrt((influence**2).sum())))


CANDIDATE = "lightgbm"


def auc_at_equal_volume(
    score: Floats, bad: Floats, volume: Floats, seller: Ints, weight: Floats | None = None, day: Ints | None = None
) -> EqualVolume:
    """Return the AUC over bad-good pairs of like volume, the pairs' weight, and the sellers' influence.

    The larger volume of a pair is at most 6/5 of the smaller. A higher score is worse; ties count one half. A pair
    counts by the product of its rows' weights. `seller`: code of each row's seller. `day`: pairs are of one day; None:
    of any. Without a pair: NaN, 0 and zeros.

    Worked: volumes 10, 12, 13, 100; scores 2, 1, 3, 0; the first and the last row are bad. The only pair is 10 with 12.
    Its bad row has the higher score: 1.0.
    """
    weight = np.ones(len(bad)) if weight is None else weight
    sellers, cluster = np.unique(seller, return_inverse=True)
    paired_weight, ordered_weight = np.zeros(len(bad)), np.zeros(len(bad))
    for _, index in groups_of(np.zeros(len(bad)) if day is None else day):
        paired_weight[index], ordered_weight[index] = _weigh_pairs(
            score[index], bad[index], volume[index], weight[index]
        )
    is_bad = bad == 1
    pairs = float(weight[is_bad] @ paired_weight[is_bad])
    if pairs <= 0:
        return EqualVolume(np.nan, 0.0, 0, np.zeros(len(sellers)))
    value = float(weight[is_bad] @ ordered_weight[is_bad]) / pairs
    influence = (
        np.bincount(cluster, weights=weight * (ordered_weight - value * paired_weight), minlength=len(sellers)) / pairs
    )
    return EqualVolume(value, pairs, int((is_bad & (paired_weight > 0)).sum()), influence)


def _weigh_pairs(score: Floats, bad: Floats, volume: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return the weight of the rows that each is paired with, and of those that it ranks rightly with."""
    paired_weight, ordered_weight = np.zeros(len(bad)), np.zeros(len(bad))
    bads, goods = np.flatnonzero(bad == 1), np.flatnonzero(bad == 0)
    paired_weight[bads], ordered_weight[bads] = _LikeVolumeWeights(volume[goods], score[goods], weight[goods]).sum_up(
        volume[bads], score[bads]
    )
    paired_weight[goods], lower_bad_weight = _LikeVolumeWeights(volume[bads], score[bads], weight[bads]).sum_up(
        volume[goods], score[goods]
    )
    ordered_weight[goods] = paired_weight[goods] - lower_bad_weight
    return paired_weight, ordered_weight


def compare_pairs(
    scores: Mapping[str, Floats],
    bad: Floats,
    volume: Floats,
    seller: Ints,
    weight: Floats,
    day: Ints | None = None,
) -> tuple[dict[str, EqualVolume], dict[str, Interval]]:
    """Return each score's AUC at equal volume, and how far CANDIDATE leads each other one, paired by seller."""
    aucs = {name: auc_at_equal_volume(score, bad, volume, seller, weight, day) for name, score in scores.items()}
    candidate_auc = aucs[CANDIDATE]
    differences = {
        f"{CANDIDATE}-{name}": estimate_by_jackknife(
            candidate_auc.value - other.value, candidate_auc.influence - other.influence
        )
        for name, other in aucs.items()
        if name != CANDIDATE
    }
    return aucs, differences


class _LikeVolumeWeights:
    """Sums weights of rows with like volume and lower score: a wavelet matrix over the ranks of the scores."""

    def __init__(self, volume: Floats, score: Floats, weight: Floats) -> None:
        order = np.argsort(volume, kind="stable")
        self._volume = volume[order]
        self._scores, rank = np.unique(score[order], return_inverse=True)
        weight = weight[order]
        self._total = _cumulate(weight)
        self._levels: list[tuple[int, Ints, Floats]] = []
        for bit in reversed(range(max(len(self._scores), 1).bit_length())):
            zero = (rank >> bit) & 1 == 0
            parted = np.argsort(~zero, kind="stable")
            self._levels.append((bit, np.append(0, np.cumsum(zero)), _cumulate(np.where(zero, weight, 0.0))))
            rank, weight = rank[parted], weight[parted]

    def sum_up(self, volume: Floats, score: Floats) -> tuple[Floats, Floats]:
        """Return the weights of the rows of like volume and, among them, of those that score lower (equal: one half)."""
        # 1.2 is no binary fraction; 6 / 5 of a whole number is rounded right.
        first = np.searchsorted(self._volume, SMALLER * volume / LARGER, side="left")
        last = np.searchsorted(self._volume, LARGER * volume / SMALLER, side="right")
        lower = self._sum_below(first, last, np.searchsorted(self._scores, score, side="left"))
        upto = self._sum_below(first, last, np.searchsorted(self._scores, score, side="right"))
        return self._total[last] - self._total[first], (lower + upto) / 2

    def _sum_below(self, first: Ints, last: Ints, rank: Ints) -> Floats:
        """Return the weight of the rows from first to last whose score has a lower rank."""
        sums = np.zeros(len(rank))
        for bit, zeros, weights in self._levels:
            is_bit_set = (rank >> bit) & 1 == 1
            sums += np.where(is_bit_set, weights[last] - weights[first], 0.0)
            first_zeros, last_zeros, all_zeros = zeros[first], zeros[last], zeros[-1]
            first = np.where(is_bit_set, all_zeros + first - first_zeros, first_zeros)
            last = np.where(is_bit_set, all_zeros + last - last_zeros, last_zeros)
        return sums


def _cumulate(values: Floats) -> Floats:
    """Return the running sums, from 0."""
    return np.append(0.0, np.cumsum(values))
