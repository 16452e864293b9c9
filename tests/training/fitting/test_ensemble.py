"""Several seeds are one model: its text says their mean, and everything that reads a model reads it."""

from dataclasses import dataclass, fields

import lightgbm
import numpy as np
import pytest

from scoring.arrays import Floats
from scoring.errors import ArtifactRefused
from scoring.features.fold import DEFAULT_WEIGHTS, Constants
from scoring.features.table import FEATURES
from scoring.model.artifact import ModelParts, load, pack
from scoring.model.certificate import certify
from scoring.model.scale import Scale
from scoring.model.trees import evaluate, parse_model
from tests.training.ledgers import STUDIES, restated
from training.fitting.ensemble import average
from training.fitting.fit import fit_lightgbm
from training.observation.snapshots import Snapshot
from training.study.definition import Study
from training.study.loading import load_study

CHOSEN = tuple(FEATURES[key] for key in ("incidents@1", "tenure_days@1", "exposure@1"))


@dataclass(frozen=True, slots=True)
class Weighted(Snapshot):
    """Rows that count by a weight."""

    weight: Floats


def rows_of(n: int = 1500) -> Snapshot:
    """Made rows: more incidents are worse, and so is a middling tenure, which no constraint allows."""
    rng = np.random.default_rng(5)
    x = np.stack([rng.poisson(1.0, n), rng.uniform(0, 1000, n), rng.uniform(0, 1, n)], axis=1).astype(float)
    logit = x[:, 0] - 2.5 + 3.0 * (np.abs(x[:, 1] - 500) < 200)
    bad = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    whole, one = np.arange(n, dtype=np.int64), np.ones(n)
    known = {"x": x, "bad": bad, "seller": whole, "day": whole, "clean": x[:, 0] == 0}
    return Snapshot(**{f.name: known.get(f.name, one) for f in fields(Snapshot)})


@pytest.fixture(scope="module")
def rows() -> Snapshot:
    return rows_of()


@pytest.fixture(scope="module")
def study() -> Study:
    """A study of three features, with few rounds."""
    stated = load_study(STUDIES / "marketplace.toml")
    own = {"num_leaves": 15, "learning_rate": 0.1, "extra_trees": False}
    return restated(
        stated,
        model={"rounds": 12, "additive_start": False, "parameters": own},
        exposure={"reference_orders": None},
        features=CHOSEN,
    )


def raw(booster: lightgbm.Booster, x: Floats) -> Floats:
    return np.asarray(booster.predict(x, raw_score=True, num_threads=1), dtype=np.float64)


def test_the_ensemble_is_the_mean_of_its_seeds(rows: Snapshot, study: Study) -> None:
    """To the rounding of a sum; by our own reading of the text to the bit; the seeds do differ."""
    members = [fit_lightgbm(rows, restated(study, model={"seed": study.model.seed + k})) for k in range(5)]
    ensemble = fit_lightgbm(rows, restated(study, model={"seeds": 5}))
    scores = np.stack([raw(member, rows.x) for member in members])

    assert np.abs(raw(ensemble, rows.x) - scores.mean(axis=0)).max() < 1e-12
    assert np.abs(scores - scores.mean(axis=0)).max() > 1e-3
    text = ensemble.model_to_string()
    assert len(parse_model(text).trees) == 60
    assert evaluate(parse_model(text), rows.x[:100]) == raw(ensemble, rows.x[:100]).tolist()
    assert fit_lightgbm(rows, restated(study, model={"seeds": 5})).model_to_string() == text


def test_an_ensemble_is_certified_packed_and_served_like_any_model(rows: Snapshot, study: Study) -> None:
    """Golden vectors to the bit, and the certificate over all its trees."""
    ensemble = fit_lightgbm(rows, restated(study, model={"seeds": 3}))
    parts = pack(
        ModelParts(
            study="made",
            model_text=ensemble.model_to_string(),
            features=CHOSEN,
            constants=Constants(DEFAULT_WEIGHTS),
            scale=Scale.from_calibration(0.0, 1.0),
            reference_exposure=None,
            baseline=rows.x[0],
            golden=rows.x[:64],
            evaluation={},
            lineage={},
        )
    )
    assert load(parts).raw_score(rows.x).tolist() == raw(ensemble, rows.x).tolist()


def test_the_text_of_an_ensemble_is_read_whatever_its_members_are(rows: Snapshot) -> None:
    """Single leaves, tiny and huge ones; one member is itself."""
    data = lightgbm.Dataset(rows.x, rows.bad)
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    stump = lightgbm.train({**settings, "min_data_in_leaf": 10_000}, data, 2)
    deep = lightgbm.train({**settings, "learning_rate": 1e-9, "boost_from_average": False}, data, 3)
    texts = [stump.model_to_string(), deep.model_to_string(), deep.model_to_string()]
    mean = average(texts)
    expected = (raw(stump, rows.x) + 2 * raw(deep, rows.x)) / 3
    assert np.abs(raw(lightgbm.Booster(model_str=mean), rows.x) - expected).max() < 1e-15
    assert len(parse_model(mean).trees) == sum(len(parse_model(text).trees) for text in texts)
    assert average(texts[:1]) == texts[0]


def test_the_twin_without_constraints_learns_what_they_forbid_and_is_not_certified(
    rows: Snapshot, study: Study
) -> None:
    """A middling tenure is the worst: the price of monotonicity shows, and the twin can never be served."""
    constrained, free = fit_lightgbm(rows, study), fit_lightgbm(rows, study, constrained=False)
    directions = {feature.key: feature.direction for feature in CHOSEN}

    certify(constrained.model_to_string(), directions)
    with pytest.raises(ArtifactRefused):
        certify(free.model_to_string(), directions)
    worst = np.array([[0.0, tenure, 0.5] for tenure in (100.0, 500.0, 900.0)])
    assert raw(free, worst)[1] > max(raw(free, worst)[[0, 2]]) + 0.3


def test_a_row_counts_by_its_weight(rows: Snapshot, study: Study) -> None:
    """Equal weights change nothing; heavier bad rows raise the mean by as much as they weigh."""
    stated = {f.name: getattr(rows, f.name) for f in fields(Snapshot) if f.name != "weight"}
    plain, equal = fit_lightgbm(rows, study), fit_lightgbm(Weighted(**stated, weight=np.ones(len(rows.bad))), study)
    heavy = fit_lightgbm(Weighted(**stated, weight=np.where(rows.bad > 0, 3.0, 1.0)), study)

    assert raw(equal, rows.x) == pytest.approx(raw(plain, rows.x), abs=1e-6)
    weight = np.where(rows.bad > 0, 3.0, 1.0)
    mean = np.average(1 / (1 + np.exp(-raw(heavy, rows.x))), weights=weight)
    assert mean == pytest.approx(np.average(rows.bad, weights=weight), abs=0.05)
    assert mean > rows.bad.mean() + 0.1


def test_progress_counts_the_rounds_of_all_seeds(rows: Snapshot, study: Study) -> None:
    """One bar, from the first round to the last."""
    told: list[tuple[int, int]] = []
    fit_lightgbm(rows, restated(study, model={"seeds": 3}), lambda done, total: told.append((done, total)))
    assert told == [(done, 36) for done in range(1, 37)]
