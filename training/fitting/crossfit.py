"""Cross-fitting: score sellers by models that were not fitted on them.

Windows overlap, so the same seller at a later point would test outcomes that the model has learnt.
"""

from collections.abc import Callable

import numpy as np

from scoring.base.arrays import Floats
from training.fitting.fit import Raw
from training.fitting.folds import folds
from training.observation.snapshots import Snapshot

FOLDS = 3
MAX_FITTED = 50_000
MIN_BAD = 10


def cross_fit(
    rows: Snapshot, asked: Snapshot, x: Floats, seed: int, fit: Callable[[int, Snapshot], Raw]
) -> Floats | None:
    """Return raw scores of the rows `asked`, each by a model that was not fitted on its seller.

    `x`: the inputs of `asked`. `fit` gets the fold, from 0, and the `rows` of the other folds, and returns a scorer.
    None if a model would have fewer than MIN_BAD bad rows.
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
