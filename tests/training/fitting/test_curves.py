from dataclasses import replace
from itertools import combinations

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.arrays import Floats
from scoring.base.errors import ArtifactRefused
from scoring.model.certificate import certify
from scoring.model.page import page_model_text, read_page
from scoring.model.scale import POINTS_PER_LOGIT, Scale
from tests.helpers.curve_rows import CHOSEN, rows_of
from tests.helpers.training_ledgers import restated
from training.fitting.curves import MAX_STEPS, PAIR_STEPS, Curve, Curves, add_up_trees, make_page, split_into_runs
from training.fitting.fit import fit_curves, fit_full
from training.observation.snapshots import Snapshot
from training.study.definition import Study


@pytest.fixture(scope="module")
def rows() -> Snapshot:
    return rows_of()


@pytest.fixture(scope="module")
def study(study: Study) -> Study:
    own = {"num_leaves": 15, "learning_rate": 0.1, "extra_trees": False}
    return restated(
        study,
        model={"rounds": 12, "parameters": own},
        exposure={"reference_orders": None},
        features=CHOSEN,
    )


DIRECTIONS = {feature.key: feature.direction for feature in CHOSEN}
SETTINGS = {"objective": "binary", "verbosity": -1, "num_threads": 1, "extra_trees": True, "min_data_in_leaf": 5}


@pytest.mark.parametrize("pair", [[], [[0, 1]]], ids=["alone", "a pair"])
def test_curves_are_the_trees_added_up(rows: Snapshot, pair: list[list[int]]) -> None:
    x = rows.x.round(1)
    together = {**SETTINGS, "interaction_constraints": [[0], [1], [2], *pair]}
    booster = lightgbm.train(together, lightgbm.Dataset(x, rows.bad), 30)
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    curves = add_up_trees(0.25, [], trees, 0.5, 3)
    expected = 0.25 + booster.predict(x, raw_score=True, num_threads=1) / 2
    assert np.abs(curves.raw_scores(x) - expected).max() < 1e-12
    assert {curve.features for curve in curves.curves} <= {(0,), (1,), (2,), *map(tuple, pair)}
    assert [curve.features for curve in curves.curves if len(curve.features) > 1] == [*map(tuple, pair)]


def test_several_seeds_are_one_model_of_their_mean(rows: Snapshot, study: Study) -> None:
    members = [
        fit_curves(rows, restated(study, model={"seed": study.model.seed + k})).raw_scores(rows.x) for k in range(5)
    ]
    together = fit_curves(rows, restated(study, model={"seeds": 5}))
    assert np.abs(together.raw_scores(rows.x) - np.mean(members, axis=0)).max() < 1e-12
    assert np.abs(members - np.mean(members, axis=0)).max() > 1e-3


def tabled(curves: Curves, x: Floats, reference: dict[int, float] | None = None):
    return make_page(curves, 0.0, 1.0, x, np.ones(len(x)), reference or {})


def test_a_page_is_the_curves_in_whole_points(rows: Snapshot, study: Study) -> None:
    curves = fit_curves(rows, study)
    page = tabled(curves, rows.x)
    assert certify(page, DIRECTIONS)["trees"] == len(page.tables) == 3
    assert all(2 <= table.points.size <= MAX_STEPS and table.points.max() == 0 for table in page.tables)
    off = POINTS_PER_LOGIT * (Scale(page.base).log_odds(page.raw_score(rows.x)) - curves.raw_scores(rows.x))
    assert np.abs(off).mean() < 10
    stepped = Curves(-1.0, (Curve((1,), (np.array([3.0, 5.0]),), np.array([0.3, 0.1, 0.1])),))
    exact = tabled(stepped, rows.x)
    assert (exact.base, exact.tables[0].points.tolist(), exact.tables[0].edges[0].tolist()) == (449, [-14, 0], [3.0])


def test_a_pair_has_few_steps_of_each_feature(rows: Snapshot, study: Study) -> None:
    paired = restated(study, pairs=((0, 1),), model={"parameters": {"num_leaves": 8, "extra_trees": False}})
    page = tabled(fit_curves(rows, paired), rows.x)
    (pair,) = (table for table in page.tables if len(table.features) == 2)
    assert max(pair.points.shape) <= PAIR_STEPS
    assert certify(page, DIRECTIONS)["trees"] == len(page.tables)
    idle = Curve((0, 1), (np.array([0.5]), np.array([1.5, 2.5])), np.array([[0.0] * 3, [1.0] * 3]))
    (table,) = tabled(Curves(0.0, (idle,)), rows.x).tables
    assert table.points.tolist() == [[0, 0], [-72, -72]]


def test_context_is_at_its_reference_in_the_base(rows: Snapshot) -> None:
    curve = Curve((1,), (np.array([500.0]),), np.array([0.0, 1.0]))
    low, high = (tabled(Curves(0.0, (curve,)), rows.x, {1: value}) for value in (100.0, 900.0))
    assert low.tables == high.tables == ()
    assert low.base - high.base == round(POINTS_PER_LOGIT)


def test_edges_have_few_digits_and_move_nobody(rows: Snapshot) -> None:
    cuts = np.array([0.123456789, 0.1239, 0.6543210987])
    curves = Curves(0.0, (Curve((2,), (cuts,), np.array([3.0, 2.0, 1.0, 0.0])),))
    page = tabled(curves, rows.x)
    short = page.tables[0].edges[0]
    assert np.searchsorted(short, rows.x[:, 2]).tolist() == np.searchsorted(cuts, rows.x[:, 2]).tolist()
    assert max(len(repr(edge)) for edge in short.tolist()) < 8


def test_two_edges_that_no_seller_parts_stay_in_order() -> None:
    x = np.repeat([[0.1], [0.3]], 50, axis=0)
    edges = np.array([0.16, 0.19])
    curves = Curves(0.0, (Curve((0,), (edges,), np.array([0.0, 1.0, 2.0])),))
    page = make_page(curves, 0.0, 1.0, x, np.ones(len(x)), {})
    (own,) = page.tables[0].edges
    assert (np.diff(own) > 0).all()
    assert read_page(page_model_text(page.tables, 1), page.base, 1).tables[0].edges[0].tolist() == own.tolist()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=9), st.integers(1, 5), st.randoms(use_true_random=False))
def test_segments_lose_least(values: list[int], most: int, chance) -> None:
    assert split_into_runs(np.array([1.0, 1, 5, 6]), np.ones(4), 2).tolist() == [0, 2]
    own, weight = np.array(values, dtype=float), np.array([chance.randint(1, 9) for _ in values], dtype=float)

    def lost(starts: list[int]) -> float:
        parts = np.split(np.arange(len(own)), starts[1:])
        return sum(float(weight[p] @ (own[p] - np.average(own[p], weights=weight[p])) ** 2) for p in parts)

    found = split_into_runs(own, weight, most).tolist()
    assert len(found) == min(most, len(own))
    for others in combinations(range(1, len(own)), len(found) - 1):
        assert lost(found) <= lost([0, *others]) + 1e-6


def test_what_directions_forbid_is_not_learned_and_not_certified(rows: Snapshot, study: Study) -> None:
    free = restated(study, features=tuple(replace(feature, direction=0) for feature in CHOSEN))
    with pytest.raises(ArtifactRefused, match="the table of tenure_days@1 moves"):
        certify(tabled(fit_curves(rows, free), rows.x), DIRECTIONS)
    worst = np.array([[0.0, tenure, 0.5] for tenure in (100.0, 500.0, 900.0)])
    assert (np.diff(fit_curves(rows, study).raw_scores(worst)) <= 0).all()
    assert (np.diff(fit_full(rows, study)(worst)) <= 0).all()


def test_a_row_counts_by_its_weight(rows: Snapshot, study: Study) -> None:
    weight = np.where(rows.bad > 0, 3.0, 1.0)
    heavy = fit_curves(replace(rows, weight=weight), study)
    mean = np.average(1 / (1 + np.exp(-heavy.raw_scores(rows.x))), weights=weight)
    assert mean == pytest.approx(np.average(rows.bad, weights=weight), abs=0.05)
    assert mean > rows.bad.mean() + 0.1


def test_progress_counts_the_rounds_of_all_seeds(rows: Snapshot, study: Study) -> None:
    told: list[tuple[int, int]] = []
    fit_curves(rows, restated(study, model={"seeds": 3}), lambda done, total: told.append((done, total)))
    assert told == [(done, 36) for done in range(1, 37)]
