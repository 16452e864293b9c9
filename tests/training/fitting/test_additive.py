"""The additive start: what each feature adds by itself, one way or none, as trees that say the same."""

import numpy as np
import pytest

from scoring.model.certificate import certify
from scoring.model.trees import evaluate, parse_model
from tests.training.fitting.test_ensemble import CHOSEN, raw, rows_of
from tests.training.ledgers import STUDIES, restated
from training.fitting.additive import KNOTS, StepFunction, fit_additive
from training.fitting.fit import fit_lightgbm
from training.observation.snapshots import Snapshot
from training.study.definition import Study
from training.study.loading import load_study

DIRECTIONS = [feature.direction for feature in CHOSEN]


@pytest.fixture(scope="module")
def rows() -> Snapshot:
    return rows_of()


@pytest.fixture(scope="module")
def study() -> Study:
    """A study of three features, of which LightGBM may add nothing."""
    stated = load_study(STUDIES / "marketplace.toml")
    bare = {"min_data_in_leaf": 10_000}
    return restated(
        stated, model={"rounds": 2, "parameters": bare}, exposure={"reference_orders": None}, features=CHOSEN
    )


def test_every_step_goes_the_way_of_its_feature_or_not_at_all(rows: Snapshot) -> None:
    """More incidents are worse; a middling tenure is worst, which a direction leaves flat or falling."""
    steps = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), None, DIRECTIONS)
    assert 0 in [step.feature for step in steps]
    for step in steps:
        assert (np.diff(step.values) * -DIRECTIONS[step.feature] >= 0).all()
        assert len(step.values) == len(step.bounds) + 1 <= KNOTS
    against = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), None, [1, 1, 1])
    assert 0 not in [step.feature for step in against]
    free = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), None, [0, 0, 0])
    assert [step.feature for step in free] == [0, 1, 2]


def test_the_model_text_says_the_sum_of_the_steps(rows: Snapshot, study: Study) -> None:
    """By LightGBM and by our own reading to the bit of each other; certified; with a constant that gives the base rate."""
    booster = fit_lightgbm(rows, study)
    text = booster.model_to_string()
    steps = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), None, DIRECTIONS)
    total = np.sum([step.raw(rows.x) for step in steps], axis=0)
    scores = raw(booster, rows.x)

    assert np.ptp(scores - total) < 1e-12
    assert np.ptp(total) > 1
    assert np.mean(1 / (1 + np.exp(-scores))) == pytest.approx(rows.bad.mean(), abs=1e-9)
    assert evaluate(parse_model(text), rows.x[:200]) == scores[:200].tolist()
    certify(text, {feature.key: feature.direction for feature in CHOSEN})
    flat = raw(fit_lightgbm(rows, restated(study, model={"additive_start": False})), rows.x)
    assert len(set(flat.tolist())) == 1


def test_a_step_is_the_same_function_as_its_tree() -> None:
    """At its bounds, between and beyond them; two steps and many."""
    for bounds in ([1.5], [-2.0, 0.0, 7.25], np.arange(63) / 7):
        step = StepFunction(1, np.array(bounds, dtype=float), np.linspace(-1, 2, len(bounds) + 1) ** 3)
        head = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\nobjective=binary"
        tree = f"Tree=0\n{step.tree()}"
        text = (
            f"{head}\nfeature_names=a b\nfeature_infos=none none\ntree_sizes={len(tree) + 1}\n\n{tree}\nend of trees\n"
        )
        at = np.concatenate([step.bounds, step.bounds - 0.01, step.bounds + 0.01, [-1e9, 1e9]])
        x = np.stack([np.zeros(len(at)), at], axis=1)
        assert evaluate(parse_model(text), x) == step.raw(x).tolist()


def test_what_a_row_has_already_is_not_learned_again(rows: Snapshot) -> None:
    """A start that holds the truth leaves next to nothing; weights of 0 leave rows out."""
    truth = rows.x[:, 0] - 2.5 + 3.0 * (np.abs(rows.x[:, 1] - 500) < 200)
    again = fit_additive(rows.x, rows.bad, truth, None, [0, 0, 0])
    first = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), None, [0, 0, 0])
    assert np.ptp(again[0].values) < np.ptp(first[0].values) / 3
    half = np.arange(len(rows.bad)) % 2 == 0
    weighted = fit_additive(rows.x, np.where(half, rows.bad, 1 - rows.bad), truth * 0, half * 1.0, DIRECTIONS)
    assert weighted[0].values[-1] > weighted[0].values[0] + 1


def test_columns_that_say_nothing_add_nothing(rows: Snapshot) -> None:
    """One value for all; no rows' worth of a constant."""
    x = np.hstack([np.full((len(rows.x), 1), 7.0), rows.x[:, :1]])
    assert [step.feature for step in fit_additive(x, rows.bad, np.zeros(len(x)), None, [0, -1])] == [1]
    assert fit_additive(x[:, :1], rows.bad, np.zeros(len(x)), None, [0]) == []
