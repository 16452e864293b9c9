"""What an evaluation looks at: the test rows as plain arrays, and the training rows they are compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scoring.arrays import Bools, Floats, Ints
from scoring.policy import Policy
from training.evaluation.arrays import Labels, sigmoid
from training.evaluation.ranking import HARM
from training.evaluation.resampling import RESAMPLES

CANDIDATE, CHAMPION, TWIN = "lightgbm", "champion", "unconstrained"
WINDOW_VOLUME, PAST_VOLUME = "window_volume", "past_volume"
VOLUMES = (WINDOW_VOLUME, PAST_VOLUME)
"""Settled orders alone, as if who sells more were worse: in the window, which nobody knows who is served, and before it."""

MODELS = (CANDIDATE, TWIN, "logistic", "points_rule", "raw_count", *VOLUMES, CHAMPION)
"""The names of models, in the order of every table; any other comes after."""


@dataclass(frozen=True, slots=True)
class Train:
    """The training rows, shape (m,): outcomes, seller codes (of the same coding as the test rows'), the candidate's
    points, and the inputs of shape (m, features).
    """

    bad: Floats
    seller: Ints
    points: Ints
    x: Floats


@dataclass(frozen=True, slots=True)
class Case:
    """n test rows. Arrays of shape (n,), `x` of shape (n, features) in the order of `features`.

    `bad` is 0 or 1; `seller` a code, equal where the seller is; `day` the observation day since 1970; `weight` above 0;
    `loss` what a bad row costs, at least 0 (0 for good ones); `orders` settled before the observation; `file` one of
    thin, medium and thick; `seen`: the seller is among the training rows; `inspected`: chosen by chance for inspection;
    `unrated`: the policy gives no tier whatever the points. An empty label counts as unknown.
    `log_odds` by model: of bad over each row's own exposure in the window, which only log-loss and calibration look at,
    since nobody knows it who is served. `served` by the same models: log-odds over the reference exposure, the points
    before they are rounded, by which they rank. `rankings` of models that only rank: higher is worse. The candidate,
    `lightgbm`, is in `log_odds`; `champion`, if there is one, too, with its points. `points` are those of the reference
    exposure, 0 to 1000, and never rise with `served`. `window_orders` settled in the window.
    `indeterminate` and `left` count sellers that are no rows. ValueError names what does not fit.
    """

    bad: Floats
    seller: Ints
    day: Ints
    weight: Floats
    loss: Floats
    orders: Floats
    tenure_days: Floats
    country: Labels
    product_category: Labels
    file: Labels
    seen: Bools
    inspected: Bools
    unrated: Bools
    x: Floats
    features: tuple[str, ...]
    log_odds: Mapping[str, Floats]
    served: Mapping[str, Floats]
    window_orders: Floats
    points: Ints
    policy: Policy
    train: Train
    rankings: Mapping[str, Floats] = field(default_factory=dict)
    champion_points: Ints | None = None
    indeterminate: int = 0
    left: int = 0
    seed: int = 1
    resamples: int = RESAMPLES
    harm: float = HARM

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
        """The models whose points do not follow from what they rank by."""
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
        """What every model ranks by, higher is worse, in the order of tables: as served, whatever a row will sell."""
        given = {**self.served, **self.rankings}
        return {name: given[name] for name in (*MODELS, *sorted(set(given) - set(MODELS))) if name in given}

    def probabilities(self) -> dict[str, Floats]:
        """The chance of bad by every model that gives one, shape (n,), over each row's own exposure."""
        return {name: sigmoid(self.log_odds[name]) for name in self.scores() if name in self.log_odds}
