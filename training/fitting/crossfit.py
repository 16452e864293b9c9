"""Cross-fitting: score sellers by models that were not fitted on them, since windows overlap."""

from collections.abc import Callable

import numpy as np

from scoring.base.arrays import Floats
from training.fitting.fit import RawScorer
from training.fitting.folds import assign_folds
from training.observation.snapshots import Snapshot

FOLDS = 3
MAX_FITTED = 50_000
MIN_BAD = 10


def cross_fit(
    rows: Snapshot, scored: Snapshot, x: Floats, seed: int, fit: Callable[[int, Snapshot], RawScorer]
) -> Floats | None:
    """Return raw scores of the rows `scored`, each by a model that was not fitted on its seller.

    `x`: the inputs of `scored`. `fit` gets the fold, from 0, and the `rows` of the other folds, and returns a scorer.
    None if a model would have fewer than 10 bad rows.
    """
    fold_of_row, fold_of_scored = assign_folds(rows.seller, FOLDS, seed), assign_folds(scored.seller, FOLDS, seed)
    if min(rows.bad[fold_of_row != fold].sum() for fold in range(FOLDS)) < MIN_BAD:
        return None
    raw = np.zeros(len(scored.bad))
    for fold in range(FOLDS):
        of_fold = fold_of_scored == fold
        if of_fold.any():
            raw[of_fold] = fit(fold, rows.take(fold_of_row != fold))(x[of_fold])
    return raw
