from dataclasses import fields

import numpy as np

from scoring.features.table import FEATURES
from training.observation.snapshots import Snapshot

CHOSEN = tuple(FEATURES[key] for key in ("incidents@1", "tenure_days@1", "exposure@1"))


def rows_of(n: int = 1500) -> Snapshot:
    rng = np.random.default_rng(5)
    x = np.stack([rng.poisson(1.0, n), rng.uniform(0, 1000, n), rng.uniform(0, 1, n)], axis=1).astype(float)
    logit = x[:, 0] - 2.5 + 3.0 * (np.abs(x[:, 1] - 500) < 200)
    bad = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    whole, one = np.arange(n, dtype=np.int64), np.ones(n)
    known = {"x": x, "bad": bad, "seller": whole, "day": whole, "clean": x[:, 0] == 0}
    return Snapshot(**{f.name: known.get(f.name, one) for f in fields(Snapshot)})
