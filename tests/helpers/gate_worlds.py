"""Simulated test rows, good and broken models, and honest markets, for the gates."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np

from scoring.base.arrays import Floats
from tests.helpers.evaluation_cases import POLICY, points_of
from tests.helpers.training_ledgers import DAYS, START, STUDIES, restated
from training.checks.leakage import check_effects
from training.evaluation.arrays import sigmoid
from training.evaluation.case import EvaluationCase, Train
from training.evaluation.figures import evaluate
from training.fitting.fit import base_log_odds
from training.gates.evidence import Measurements
from training.gates.table import judge
from training.market.simulate import Market, simulate
from training.market.tables import PARAMETERS
from training.observation.snapshots import Snapshot
from training.study.definition import Study
from training.study.loading import load_study

TRAIN = 2
ERROR = 0.05
"""Share of rows in which a leaked outcome is wrong: alone it ranks with AUC 0.95."""
DRIFT, SEGMENT_EFFECT = 0.08, 0.1
"""Standard deviations, in log-odds, that no model can know: of a later time, and of a country."""
BLUR = 1.1
"""Noise, in standard deviations of `told`, that costs about 0.06 to 0.1 of AUC."""
RECORDED = 0.5
"""Sellers above this in `told` have a record: leaks are looked for below."""
BROKEN = ("leaked", "shuffled", "turned", "blurred", "shifted", "miscalibrated")
MEASURED = Measurements(50, 0, ("a", "a"))


@dataclass(frozen=True, slots=True)
class World:
    """Sellers' rows, training's before the test's. `told`: the standardised part of the log-odds in the features."""

    told: Floats
    mean: float
    spread: float
    bad: Floats
    orders: Floats
    country: Floats
    rows: int
    rng: np.random.Generator

    @property
    def log_odds(self) -> Floats:
        return self.mean + self.spread * self.told


def world_of(bad_rows: int, seed: int) -> World:
    rng = np.random.default_rng([seed, bad_rows])
    rate, spread = float(np.exp(rng.uniform(np.log(0.04), np.log(0.15)))), float(rng.uniform(0.8, 1.5))
    rows = round(bad_rows / rate)
    told = rng.normal(size=(1 + TRAIN) * rows)
    mean = _mean_of(rate, spread)
    country = rng.integers(0, 6, len(told)).astype(np.float64)
    later = np.where(np.arange(len(told)) < TRAIN * rows, 0.0, rng.normal(0, DRIFT))
    truth = mean + spread * told + later + rng.normal(0, SEGMENT_EFFECT, 6)[country.astype(int)]
    bad = (rng.random(len(told)) < sigmoid(truth)).astype(float)
    test = slice(TRAIN * rows, None)
    wrong = bad_rows - int(bad[test].sum())
    places = TRAIN * rows + np.flatnonzero(bad[test] == (wrong < 0))
    bad[rng.choice(places, abs(wrong), replace=False)] = float(wrong > 0) if wrong else 0.0
    orders = np.floor(np.exp(rng.normal(4, 1.3, len(told)) + 0.3 * told)) + 1
    return World(told, mean, spread, bad, orders, country, rows, rng)


def _mean_of(rate: float, spread: float) -> float:
    normal = np.random.default_rng(0).normal(size=20_000)
    low, high = -12.0, 4.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(middle + spread * normal).mean() < rate else (low, middle)
    return low


def judged(kind: str, bad_rows: int, seed: int, factor: float = 2.0) -> dict[str, Any]:
    """Return the gates' verdict on a good or broken model; `factor`: the size of a shift or miscalibration."""
    world = world_of(bad_rows, seed)
    rows = _snapshot(world, knows_outcome=kind == "leaked")
    case = _case(world, rows, kind, factor)
    study = _study(rows.x.shape[1])
    unrecorded = rows.take((world.told < RECORDED) & (np.arange(len(rows.bad)) < TRAIN * world.rows))
    checks = check_effects(study, unrecorded)
    evaluation = evaluate(case) | {"checks": {"data": [], "leakage": [check.as_dict() for check in checks]}}
    return judge(study.gates, evaluation, MEASURED)


_STUDY = load_study(STUDIES / "marketplace.toml")


def _study(width: int) -> Study:
    return restated(_STUDY, exposure={"reference_orders": None}, features=_STUDY.features[:width])


def _snapshot(world: World, *, knows_outcome: bool) -> Snapshot:
    n, rng = len(world.bad), world.rng
    steps = ((0.7, 20), (1.0, 2), (1.5, 2))
    x = np.stack([np.rint(step * (world.told + rng.normal(0, noise, n))) for noise, step in steps], axis=1)
    if knows_outcome:
        x[:, 0] = np.where(rng.random(n) < ERROR, 1 - world.bad, world.bad)
    day = np.where(np.arange(n) < TRAIN * world.rows, 19_000, 19_200)
    seller, bad = np.arange(n), world.bad
    text = np.full(n, "", dtype=object)
    zeros = np.zeros(n)
    return Snapshot(
        x, bad, seller, day, world.orders, world.orders, zeros, np.zeros(n, dtype=bool), bad.astype(np.int8), np.ones(n),
        np.full(n, 3.0), np.full(n, 800), text, text, np.zeros(n, dtype=bool),
    )  # fmt: skip


def _blurred(world: World, noise: float) -> Floats:
    seen = world.told + world.rng.normal(0, noise, len(world.told))
    return np.asarray(world.mean + world.spread * seen / (1 + noise**2))


def _scaled(world: World, log_odds: Floats) -> Floats:
    bad = float(world.bad[TRAIN * world.rows :].sum())
    slope = np.exp(world.rng.normal(0, 1.2 / (world.spread * np.sqrt(bad))))
    return np.asarray(world.mean + world.rng.normal(0, 1 / np.sqrt(bad)) + slope * (log_odds - world.mean))


def _case(world: World, rows: Snapshot, kind: str, factor: float) -> EvaluationCase:
    test = np.arange(TRAIN * world.rows, len(world.bad))
    bad_train = float(world.bad[: TRAIN * world.rows].sum())
    noise = 3 / np.sqrt(bad_train)
    models = {
        name: _scaled(world, _blurred(world, more)) for name, more in (("unconstrained", noise), ("logistic", 0.25))
    }
    own = _broken(kind, world, _scaled(world, _blurred(world, BLUR if kind == "blurred" else noise)), factor)
    if kind == "leaked":
        own += np.where(rows.x[:, 0] > 0, 1, -1) * np.log(1 / ERROR - 1)
    points, text = points_of(own), world.country[test].astype(int).astype(str)
    rng = np.random.default_rng([world.rows, 1])
    log_odds = {"lightgbm": own[test], **{name: values[test] for name, values in models.items()}}
    return EvaluationCase(
        bad=rows.bad[test],
        seller=test * 4 // 5,
        day=rows.day[test],
        weight=np.ones(len(test)),
        orders=world.orders[test],
        tenure_days=rng.integers(0, 2500, len(test)).astype(float),
        country=text,
        product_category=rng.integers(0, 4, len(test)).astype(str),
        file=np.where(world.orders[test] < 20, "thin", np.where(world.orders[test] > 150, "thick", "medium")),
        seen=rng.random(len(test)) < 0.7,
        inspected=rng.random(len(test)) < 0.2,
        unrated=world.orders[test] < 5,
        x=rows.x[test],
        features=tuple(f"f{k}" for k in range(rows.x.shape[1])),
        log_odds=log_odds,
        served=log_odds,
        window_orders=world.orders[test],
        points=points[test],
        policy=POLICY,
        train=Train(rows.bad[: test[0]], np.arange(test[0]), points[: test[0]], rows.x[: test[0]]),
        seed=1,
    )


def _broken(kind: str, world: World, good: Floats, factor: float) -> Floats:
    side = 1.0 if world.rng.random() < 0.5 else -1.0
    if kind == "shuffled":
        return _levelled(world, world.rng.normal(0, 0.3, len(good)))
    if kind == "turned":
        return 2 * world.mean - good
    if kind == "shifted":
        return np.asarray(good + side * np.log(factor))
    if kind == "miscalibrated":
        return _levelled(world, good * factor**side)
    return good


def _levelled(world: World, log_odds: Floats) -> Floats:
    return log_odds + base_log_odds(world.bad[: TRAIN * world.rows], log_odds[: TRAIN * world.rows])


@dataclass(frozen=True, slots=True)
class HonestMarket:
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    world_sellers: int = 2_000
    days: int = DAYS
    study_parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def restate(self, study: Study) -> Study:
        return restated(study, **self.study_parts)


SEASON = [0.4, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.2, 2.4]
MARKETS = {
    "steady": HonestMarket(),
    "young": HonestMarket({"sellers": {"veteran_share": 0.0}}, days=600),
    "growing": HonestMarket({"sellers": {"veteran_share": 0.1}}),
    "seasonal": HonestMarket({"volume": {"season": SEASON}}),
    "rated": HonestMarket(study_parts={"bad": {"share": 0.002}, "exposure": {"reference_orders": None}}),
    "small": HonestMarket(world_sellers=500),
}


def simulate_like(market: HonestMarket, worlds: int, seed: int) -> Market:
    with ExitStack() as stack:
        for table, values in market.parameters.items():
            stack.enter_context(patch.dict(PARAMETERS[table], values))
        return simulate(market.world_sellers * worlds, market.days, START, seed)
