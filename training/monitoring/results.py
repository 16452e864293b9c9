"""What monitoring finds of a model: drift of features and points, calibration in windows that are over or open."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from scoring.base.time import format_day
from training.evaluation.arrays import Interval, plain

CHECKS = ("score_psi", "feature_csi", "calibration_matured", "calibration_estimated")
"""The checks of a look, in the order of `MonitorReport.alerts`."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A stability index of the score or of a feature, and whether it alerts.

    With the critical value beyond chance.
    """

    name: str
    value: float
    critical: float
    alert: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """Observed over expected bad sellers, in windows that are over or still open."""

    days: tuple[int, ...]
    """The observation days of the windows: the newest first of those that are over, the oldest first of open ones."""
    rows: int
    bad: int
    """Sellers known as bad, in open windows so far."""
    expected: float
    """How many bad ones the model expected, as the study weighs sellers; in open windows, in the part that has passed."""
    ratio: Interval | None
    """Observed over expected, with its interval; None: `why_not` states why. Observed is `bad`, weighted as
    the study weighs sellers and in open windows lifted."""
    factors: tuple[float, ...] = ()
    """Of open windows, the factor that lifts the bad ones of each day to those that will be known."""
    in_sample: bool = False
    """Whether the model learned from one of the windows."""
    why_not: str = ""
    alert: bool = False


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """What monitoring found of a model on day `as_of`.

    `tiers` are of windows that are over: unrated, then worst to best.
    """

    as_of: int
    model: str
    reference_rows: int
    rows: int
    score: Drift
    features: tuple[Drift, ...]
    matured: Calibration
    tiers: Mapping[str, Calibration]
    estimated: Calibration

    @property
    def alerts(self) -> dict[str, bool]:
        """Return whether each check alerts, by its name in CHECKS."""
        found = (self.score.alert, any(f.alert for f in self.features), self.matured.alert, self.estimated.alert)
        return dict(zip(CHECKS, found, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values: day, model, rows, drift, calibration and alerts."""

        def shown(calibration: Calibration) -> dict[str, Any]:
            values = {f.name: getattr(calibration, f.name) for f in fields(calibration)}
            return {**values, "days": [format_day(day) for day in calibration.days]}

        drift = [{f.name: getattr(d, f.name) for f in fields(d)} for d in (self.score, *self.features)]
        row: dict[str, Any] = plain(
            {
                "as_of": format_day(self.as_of),
                "model": self.model,
                "reference_rows": self.reference_rows,
                "rows": self.rows,
                "score": drift[0],
                "features": drift[1:],
                "matured": shown(self.matured),
                "tiers": {name: shown(tier) for name, tier in self.tiers.items()},
                "estimated": shown(self.estimated),
                "alerts": self.alerts,
            }
        )
        return row
