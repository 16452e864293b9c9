"""Figures that `training.train` still asks for here; `training.evaluation` makes them all."""

from dataclasses import dataclass

from training.evaluation.arrays import Floats
from training.evaluation.probability import equal_bins
from training.evaluation.resampling import bootstrap_auc

__all__ = ["bootstrap_auc", "calibration_by_volume"]


@dataclass(frozen=True, slots=True)
class Decile:
    """Calibration in one tenth of the rows by volume: mean predicted chance beside the share that was bad."""

    rows: int
    orders_from: float
    orders_to: float
    predicted: float
    observed: float


def calibration_by_volume(p_bad: Floats, bad: Floats, orders: Floats) -> list[Decile]:
    """Calibration by decile of volume (settled orders), smallest first."""
    return [
        Decile(
            len(index),
            float(orders[index[0]]),
            float(orders[index[-1]]),
            float(p_bad[index].mean()),
            float(bad[index].mean()),
        )
        for index in equal_bins(orders)
    ]
