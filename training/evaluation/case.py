from collections.abc import Mapping
from dataclasses import field

import numpy as np

from scoring.base.arrays import Bools, Floats, Ints
from scoring.base.frozen import frozen
from scoring.policy.policy import Policy
from training.evaluation.arrays import Interval, Labels, sigmoid
from training.evaluation.equal_volume import CANDIDATE, EqualVolume, compare_pairs

CHAMPION, TWIN = "champion", "unconstrained"
WINDOW_VOLUME, PAST_VOLUME = "window_volume", "past_volume"
VOLUMES = (WINDOW_VOLUME, PAST_VOLUME)
"""Models that rank by settled orders alone, more orders worse: orders in the window (unknown when a seller is scored),
and orders before it.
"""

MODELS = (CANDIDATE, TWIN, "logistic", "points_rule", "raw_count", *VOLUMES, CHAMPION)


@frozen
class Train:
    """The m training rows that the test rows are compared with: shape (m,), `x` (m, features)."""

    bad: Floats
    seller: Ints
    points: Ints
    x: Floats


@frozen
class EvaluationCase:
    """n test rows; arrays have the shape (n,) unless stated otherwise."""

    bad: Floats
    seller: Ints
    day: Ints
    """Observation day, in days since 1970."""
    weight: Floats
    orders: Floats
    """Orders settled before the observation."""
    tenure_days: Floats
    country: Labels
    product_category: Labels
    file: Labels
    seen: Bools
    inspected: Bools
    """The seller was chosen for inspection by chance."""
    unrated: Bools
    """No tier at any points."""
    x: Floats
    """Shape (n, features), in the order of `features`."""
    features: tuple[str, ...]
    log_odds: Mapping[str, Floats]
    """By model: log-odds of bad over each row's own exposure in the window. Only log-loss and calibration use them.

    It holds the candidate, `lightgbm`, and the `champion` if there is one.
    """
    served: Mapping[str, Floats]
    """By the same models: log-odds of bad over the reference exposure. Models rank by them."""
    window_orders: Floats
    points: Ints
    """The candidate's, 0 to 1000; they never rise with `served`."""
    policy: Policy
    train: Train
    at_equal_volume: bool = True
    """Models are judged over pairs of like window volume; otherwise over all pairs of a day."""
    pair_day: Ints | None = None
    """Pairs are within one of these; None: within `day`."""
    rankings: Mapping[str, Floats] = field(default_factory=dict)
    """By model without probabilities: its scores; higher is worse."""
    champion_points: Ints | None = None
    indeterminate: int = 0
    left: int = 0
    seed: int = 1

    def scores(self) -> dict[str, Floats]:
        """Return each model's ranking scores of the test rows, in the order of MODELS, then by name; higher is worse."""
        scores = {**self.served, **self.rankings}
        return {name: scores[name] for name in (*MODELS, *sorted(set(scores) - set(MODELS))) if name in scores}

    def compare(
        self, scores: Mapping[str, Floats], index: Ints | None = None, *, at_equal_volume: bool = True
    ) -> tuple[dict[str, EqualVolume], dict[str, Interval]]:
        """Return each score's AUC, and the candidate's leads (`lightgbm-OTHER`), over pairs of one day.

        `scores` are of the rows at `index` alone (None: of all). `at_equal_volume`: pairs are also of like window
        volume.
        """
        rows = np.arange(len(self.bad)) if index is None else index
        volume = self.window_orders if at_equal_volume else np.ones(len(self.bad))
        day = self.day if self.pair_day is None else self.pair_day
        return compare_pairs(scores, self.bad[rows], volume[rows], self.seller[rows], self.weight[rows], day[rows])

    def mean(self, values: Floats) -> float:
        return float(self.weight @ values / self.weight.sum())

    def probabilities(self) -> dict[str, Floats]:
        """Return probabilities of bad by model, over the row's own exposure."""
        return {name: sigmoid(self.log_odds[name]) for name in self.scores() if name in self.log_odds}
