"""Where `training.train` finds the figures that moved to `training.evaluation`."""

from training.evaluation.metrics import auc, bootstrap_auc, calibration_by_volume

__all__ = ["auc", "bootstrap_auc", "calibration_by_volume"]
