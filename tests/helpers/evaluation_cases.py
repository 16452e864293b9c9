"""A simulated case with known truth: log-odds z, outcomes drawn from z, models that see z with noise."""

import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.model.scale import POINTS_PER_LOGIT, Scale
from scoring.policy.reading import parse_policy
from training.evaluation.arrays import sigmoid
from training.evaluation.case import EvaluationCase, Train

SHIPPED = tomllib.loads((Path(__file__).parents[2] / "service/policy/tiers.toml").read_text())
POLICY = parse_policy(SHIPPED | {"cut_offs": {"standard": 500, "trusted": 600, "exemplary": 700}})


def points_of(log_odds: Floats) -> Ints:
    return Scale(600).points(np.rint(POINTS_PER_LOGIT * (log_odds + math.log(20))))


def case_of(rows: int = 3000, seed: int = 1, champion: bool = True, **changed: Any) -> EvaluationCase:
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.5, 1.2, rows)
    bad = (rng.random(rows) < sigmoid(z)).astype(float)
    # The blurred z is shrunk to its expectation, so that it stays calibrated.
    blurred = -2.5 + (z + rng.normal(0, 1.2, rows) + 2.5) / 2
    served = {"lightgbm": z, "unconstrained": z + rng.normal(0, 0.1, rows), "logistic": blurred}
    served |= {"champion": blurred} if champion else {}
    orders = np.floor(rng.lognormal(4, 1.5, rows))
    values: dict[str, Any] = {
        "bad": bad,
        "seller": np.arange(rows) % max(rows * 4 // 5, 1),
        "day": 15_000 + np.arange(rows) * 100 // rows,
        "weight": np.ones(rows),
        "orders": orders,
        "tenure_days": rng.integers(0, 3000, rows).astype(float),
        "country": np.array(["DE", "FR", "IT", ""])[rng.integers(0, 4, rows)],
        "product_category": rng.integers(0, 40, rows).astype(str),
        "file": np.array(["thin", "medium", "thick"])[rng.integers(0, 3, rows)],
        "seen": rng.random(rows) < 0.8,
        "inspected": rng.random(rows) < 0.3,
        "unrated": orders < 10,
        "x": np.stack([z, rng.integers(0, 3, rows)], axis=1).astype(float),
        "features": ("rate", "kinds"),
        "log_odds": served,
        "served": changed.get("log_odds", served),
        "window_orders": orders,
        "points": points_of(z),
        "policy": POLICY,
        "train": _train(rng, 2 * rows),
        "rankings": {
            "points_rule": np.rint(2 * z),
            "raw_count": np.rint(z),
            "window_volume": orders,
            "past_volume": orders,
        },
        "champion_points": points_of(blurred) if champion else None,
        "pair_day": np.zeros(rows, dtype=np.int64),
    }
    return EvaluationCase(**values | changed)


def _train(rng: np.random.Generator, rows: int) -> Train:
    z = rng.normal(-2.5, 1.2, rows)
    bad = (rng.random(rows) < sigmoid(z)).astype(float)
    x = np.stack([z, rng.integers(0, 3, rows)], axis=1).astype(float)
    return Train(bad, np.arange(rows) % (rows // 2), points_of(z), x)
