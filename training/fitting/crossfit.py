"""Cross-fitting: score sellers by models that were not fitted on them.

Windows overlap, so a seller that is bad at one observation point is often bad at the next. A held-back point would
therefore test outcomes that the model has learnt. A seller that is left out is new to the model.
"""

from collections.abc import Callable

import numpy as np

from scoring.base.arrays import Floats
from training.fitting.fit import Raw
from training.fitting.folds import folds
from training.observation.snapshots import Snapshot

FOLDS = 3
MAX_FITTED = 50_000
"""Most rows that the models share, so that a million rows are not fitted three more times for two numbers."""
MIN_BAD = 10
"""Least bad rows of every fit."""


def cross_fit(
    rows: Snapshot, asked: Snapshot, x: Floats, seed: int, fit: Callable[[int, Snapshot], Raw]
) -> Floats | None:
    """Return raw scores of the rows `asked`, each by a model that was not fitted on its seller.

    Sellers are in FOLDS folds; each model is fitted on the `rows` of the other folds. `x`: the inputs of `asked`. `fit`
    gets the fold, from 0, and the rows without it, and returns a scorer of inputs. None if a model would have fewer
    than MIN_BAD bad rows.
    """
    own, theirs = folds(rows.seller, FOLDS, seed), folds(asked.seller, FOLDS, seed)
    if min(rows.bad[own != fold].sum() for fold in range(FOLDS)) < MIN_BAD:
        return None
    raw = np.zeros(len(asked.bad))
    for fold in range(FOLDS):
        of_fold = theirs == fold
        if of_fold.any():
            raw[of_fold] = fit(fold, rows.take(own != fold))(x[of_fold])
    return raw
