from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scoring.base.arrays import Bools, Floats, Ints
from scoring.policy.policy import Policy
from training.evaluation.arrays import Labels, sigmoid
from training.evaluation.ranking import HARM
from training.evaluation.resampling import RESAMPLES

CANDIDATE, CHAMPION, TWIN = "lightgbm", "champion", "unconstrained"
WINDOW_VOLUME, PAST_VOLUME = "window_volume", "past_volume"
VOLUMES = (WINDOW_VOLUME, PAST_VOLUME)
"""Models that rank by settled orders alone, more orders worse: orders in the window (unknown when a seller is scored),
and orders before it.
"""

MODELS = (CANDIDATE, TWIN, "logistic", "points_rule", "raw_count", *VOLUMES, CHAMPION)


@dataclass(frozen=True, slots=True)
class Train:
    """The m training rows that the test rows are compared with: shape (m,), `x` (m, features)."""

    bad: Floats
    seller: Ints
    points: Ints
    x: Floats


@dataclass(frozen=True, slots=True)
class Case:
    """n test rows; arrays have the shape (n,) unless stated otherwise.

    ValueError names everything that is inconsistent.
    """

    bad: Floats
    seller: Ints
    day: Ints
    """Observation day, in days since 1970."""
    weight: Floats
    loss: Floats
    """Cost of a bad row, at least 0; 0 for good rows."""
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
    """The policy gives no tier at any points."""
    x: Floats
    """Shape (n, features), in the order of `features`."""
    features: tuple[str, ...]
    log_odds: Mapping[str, Floats]
    """By model: log-odds of bad over each row's own exposure in the window. Only log-loss and calibration use them.

    It holds the candidate, `lightgbm`, and the `champion` if there is one.
    """
    served: Mapping[str, Floats]
    """By the same models: log-odds of bad over the reference exposure, by which models rank."""
    window_orders: Floats
    points: Ints
    """The candidate's, 0 to 1000; they never rise with `served`."""
    policy: Policy
    train: Train
    rankings: Mapping[str, Floats] = field(default_factory=dict)
    """By model without probabilities: its scores; higher is worse."""
    champion_points: Ints | None = None
    indeterminate: int = 0
    left: int = 0
    seed: int = 1
    resamples: int = RESAMPLES
    harm: float = HARM
    """Share of the good rows that may be rejected when the recall of loss is read."""

    def __post_init__(self) -> None:
        wrong = [f"{name} has shape {found}, not {expected}" for name, found, expected in self._shapes()]
        if CANDIDATE not in self.log_odds:
            wrong.append(f"log_odds lacks {CANDIDATE}")
        if (CHAMPION in self.log_odds) != (self.champion_points is not None):
            wrong.append("champion is given by its log_odds or its points alone")
        if set(self.log_odds) & set(self.rankings):
            wrong.append("a model is in both log_odds and rankings")
        if set(self.log_odds) != set(self.served):
            wrong.append("log_odds and served are not of the same models")
        if not wrong:
            wrong += [f"points of {name} rise with served" for name in self._against_points()]
        if not wrong and not np.isin(self.bad, (0.0, 1.0)).all():
            wrong.append("bad holds more than 0 and 1")
        if not wrong and not (self.weight > 0).all():
            wrong.append("weight is not above 0")
        if not wrong and not ((self.loss >= 0) & ((self.bad == 1) | (self.loss == 0))).all():
            wrong.append("loss is negative, or of a good row")
        if wrong:
            raise ValueError("the case of the evaluation does not hold together: " + "; ".join(wrong))

    def _against_points(self) -> list[str]:
        given = {CANDIDATE: self.points, CHAMPION: self.champion_points}
        return [
            name
            for name, points in given.items()
            if points is not None and (np.diff(points[np.lexsort((-points, self.served[name]))]) > 0).any()
        ]

    def _shapes(self) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
        rows, width = (len(self.bad),), len(self.features)
        names = ("seller", "day", "weight", "loss", "orders", "tenure_days", "country", "product_category", "file")
        more = ("window_orders", "seen", "inspected", "unrated", "points")
        found = {name: getattr(self, name) for name in (*names, *more)}
        found |= {f"log_odds of {name}": score for name, score in self.log_odds.items()}
        found |= {f"served of {name}": score for name, score in self.served.items()}
        found |= {f"rankings of {name}": score for name, score in self.rankings.items()}
        if self.champion_points is not None:
            found["champion_points"] = self.champion_points
        expected: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = [
            *((name, array.shape, rows) for name, array in found.items()),
            ("x", self.x.shape, (*rows, width)),
            ("train.x", self.train.x.shape, (len(self.train.bad), width)),
            ("train.seller", self.train.seller.shape, self.train.bad.shape),
            ("train.points", self.train.points.shape, self.train.bad.shape),
        ]
        return [row for row in expected if row[1] != row[2]]

    def scores(self) -> dict[str, Floats]:
        """Return each model's ranking scores of the test rows, in the order of MODELS, then by name; higher is worse.

        A model with probabilities ranks by its served log-odds.
        """
        given = {**self.served, **self.rankings}
        return {name: given[name] for name in (*MODELS, *sorted(set(given) - set(MODELS))) if name in given}

    def probabilities(self) -> dict[str, Floats]:
        """Return each model's probability of bad for every row, over the row's own exposure.

        Models that only rank are left out.
        """
        return {name: sigmoid(self.log_odds[name]) for name in self.scores() if name in self.log_odds}
