"""Evaluation: how good a model is out of time, in figures with intervals, as pure functions over arrays.

`evaluate(case)` makes all of them. No file, no clock; chance only from the seed of the case.
"""

from training.evaluation.arrays import Interval
from training.evaluation.case import CANDIDATE, CHAMPION, TWIN, Case, Train
from training.evaluation.figures import counted, evaluate
from training.evaluation.ranking import auc, recall_of_loss
from training.evaluation.resampling import bootstrap_auc

__all__ = [
    "CANDIDATE",
    "CHAMPION",
    "TWIN",
    "Case",
    "Interval",
    "Train",
    "auc",
    "bootstrap_auc",
    "counted",
    "evaluate",
    "recall_of_loss",
]
