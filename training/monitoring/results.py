from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from scoring.base.frozen import frozen
from scoring.base.time import format_day
from training.evaluation.arrays import Interval, to_json_values

CHECKS = ("score_psi", "feature_csi", "calibration_matured")


@frozen
class Drift:
    name: str
    value: float
    critical: float
    alert: bool


@frozen
class Calibration:
    days: tuple[int, ...]
    """The observation days, newest first."""
    rows: int
    bad: int
    expected: float
    """Weighted as the study weighs sellers."""
    ratio: Interval | None
    """Observed (`bad`, weighted) over expected, with its interval; None: `why_not` states why."""
    in_sample: bool = False
    why_not: str = ""
    alert: bool = False


@frozen
class MonitorReport:
    """`tiers` are of mature windows: unrated, then worst to best."""

    as_of: int
    model: str
    reference_rows: int
    rows: int
    score: Drift
    features: tuple[Drift, ...]
    matured: Calibration
    tiers: Mapping[str, Calibration]

    @property
    def alerts(self) -> dict[str, bool]:
        """Return whether each of CHECKS alerts; feature_csi if any feature does."""
        alerts = (self.score.alert, any(f.alert for f in self.features), self.matured.alert)
        return dict(zip(CHECKS, alerts, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, days as texts, with `alerts`."""
        row = asdict(self)
        for tier_or_all in (row["matured"], *row["tiers"].values()):
            tier_or_all["days"] = [format_day(day) for day in tier_or_all["days"]]
        return dict(to_json_values({**row, "as_of": format_day(self.as_of), "alerts": self.alerts}))
