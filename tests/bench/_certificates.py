"""How long the certificate of a realistic model takes: 60 features, real monotone training, 15 and 31 leaves."""

import time
from collections.abc import Callable

import lightgbm
import numpy as np

from scoring.model.certificate import certify, find_breaches
from scoring.model.trees import parse_model

ROWS, KINDS, HALF_LIVES, ROUNDS = 20_000, 15, 4, 1000
FREE = 4
"""Of the 60 features, those without a direction, as attributes are."""


def run(show: Callable[[str, float], None], progress: Callable[..., None]) -> None:
    """Shows `certificate_s_per_1000_trees`: of the slower of two models the whole `certify`, text reading too."""
    slowest = 0.0
    for done, leaves in enumerate((15, 31)):
        progress("certificates", done, 2)
        text, directions = trained(leaves)
        started = time.perf_counter()
        certificate = certify(text, directions)
        seconds = (time.perf_counter() - started) * 1000 / int(str(certificate["trees"]))
        show(f"certificate.{leaves}_leaves_s_per_1000_trees", round(seconds, 3))
        started = time.perf_counter()
        model = parse_model(text)
        show(f"certificate.{leaves}_leaves_reading_s", round(time.perf_counter() - started, 3))
        turned = [-direction for direction in directions.values()]
        started = time.perf_counter()
        show(f"certificate.{leaves}_leaves_turned_breaches", len(find_breaches(model, turned)))
        show(f"certificate.{leaves}_leaves_turned_s", round(time.perf_counter() - started, 3))
        slowest = max(slowest, seconds)
    progress("certificates", 2, 2)
    show("certificate_s_per_1000_trees", round(slowest, 3))


def trained(leaves: int, rounds: int = ROUNDS, rows: int = ROWS) -> tuple[str, dict[str, int]]:
    """A model text and its features' directions: 15 kinds of conduct, each decayed by four half-lives, so correlated."""
    rng = np.random.default_rng(leaves)
    latent = rng.gamma(0.5, size=(rows, KINDS))
    x = np.concatenate([latent * rng.gamma(2.0, 0.5, size=latent.shape) for _ in range(HALF_LIVES)], axis=1)
    raw = np.log1p(latent) @ rng.uniform(0.2, 1.0, KINDS) + np.sin(3 * x[:, 0]) * np.log1p(x[:, 1])
    bad = (rng.random(rows) < 1 / (1 + np.exp(4.0 - raw))).astype(float)
    directions = {f"f{i}@1": 0 if i < FREE else -1 for i in range(x.shape[1])}
    parameters = {
        "objective": "binary", "verbosity": -1, "num_leaves": leaves, "min_data_in_leaf": 20, "learning_rate": 0.05,
        "lambda_l2": 5.0, "bagging_fraction": 0.8, "bagging_freq": 1, "feature_fraction": 0.5, "num_threads": 1,
        "deterministic": True, "force_row_wise": True, "seed": 1,
        "monotone_constraints": [-d for d in directions.values()], "monotone_constraints_method": "intermediate",
    }  # fmt: skip
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, bad), rounds)
    return booster.model_to_string(), directions
