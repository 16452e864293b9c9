"""Cross-fitting: scores of sellers by models that were not fitted on them.

Observation points lie closer together than their windows are long, so a seller that was bad at one is bad at the next: a
point that is held back asks a model for outcomes that it has learnt already. Whole sellers left out are new to it.
"""

from collections.abc import Callable

import numpy as np

from scoring.base.arrays import Floats
from training.fitting.fit import Raw
from training.fitting.folds import folds
from training.observation.snapshots import Snapshot

FOLDS = 3
"""Folds of sellers, and models."""
MAX_FITTED = 50_000
"""Rows at most that the models share: a million rows are fitted once, and not three times more for two numbers."""
MIN_BAD = 10
"""Bad rows that every model must be fitted on at least."""


def cross_fit(
    rows: Snapshot, asked: Snapshot, x: Floats, seed: int, fit: Callable[[int, Snapshot], Raw]
) -> Floats | None:
    """Return raw scores of the rows `asked`, each by a model that was not fitted on its seller.

    Sellers are in FOLDS folds; each model is fitted on those of `rows` that are not of its fold. `x`: the inputs of
    `asked`. `fit` gets the number of the fold, from 0, and the rows without it, and returns what scores inputs. None if a
    model would have fewer than MIN_BAD bad rows.
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
