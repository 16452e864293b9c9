import numpy as np
import pytest

from tests.helpers.curve_rows import CHOSEN, rows_of
from tests.helpers.training_ledgers import restated
from training.fitting.additive import KNOTS, fit_additive
from training.fitting.fit import fit_curves
from training.observation.snapshots import Snapshot
from training.study.definition import Study

DIRECTIONS = [feature.direction for feature in CHOSEN]


@pytest.fixture(scope="module")
def rows() -> Snapshot:
    return rows_of()


@pytest.fixture(scope="module")
def study(study: Study) -> Study:
    bare = {"min_data_in_leaf": 10_000}
    return restated(
        study, model={"rounds": 2, "parameters": bare}, exposure={"reference_orders": None}, features=CHOSEN
    )


def test_every_step_goes_the_way_of_its_feature_or_not_at_all(rows: Snapshot) -> None:
    steps = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), np.ones(len(rows.bad)), DIRECTIONS)
    assert 0 in [step.features[0] for step in steps]
    for step in steps:
        assert (np.diff(step.values) * -DIRECTIONS[step.features[0]] >= 0).all()
        assert len(step.values) == len(step.edges[0]) + 1 <= KNOTS
    against = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), np.ones(len(rows.bad)), [1, 1, 1])
    assert 0 not in [step.features[0] for step in against]
    free = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), np.ones(len(rows.bad)), [0, 0, 0])
    assert [step.features[0] for step in free] == [0, 1, 2]


def test_the_model_is_the_sum_of_the_steps(rows: Snapshot, study: Study) -> None:
    steps = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), np.ones(len(rows.bad)), DIRECTIONS)
    total = np.sum([step.raw_scores(rows.x) for step in steps], axis=0)
    scores = fit_curves(rows, study).raw_scores(rows.x)

    assert np.ptp(scores - total) < 1e-12
    assert np.ptp(total) > 1
    assert np.mean(1 / (1 + np.exp(-scores))) == pytest.approx(rows.bad.mean(), abs=1e-9)


def test_what_a_row_has_already_is_not_learned_again(rows: Snapshot) -> None:
    truth = rows.x[:, 0] - 2.5 + 3.0 * (np.abs(rows.x[:, 1] - 500) < 200)
    again = fit_additive(rows.x, rows.bad, truth, np.ones(len(rows.bad)), [0, 0, 0])
    first = fit_additive(rows.x, rows.bad, np.zeros(len(rows.bad)), np.ones(len(rows.bad)), [0, 0, 0])
    assert np.ptp(again[0].values) < np.ptp(first[0].values) / 3
    half = np.arange(len(rows.bad)) % 2 == 0
    weighted = fit_additive(rows.x, np.where(half, rows.bad, 1 - rows.bad), truth * 0, half * 1.0, DIRECTIONS)
    assert weighted[0].values[-1] > weighted[0].values[0] + 1


def test_columns_that_say_nothing_add_nothing(rows: Snapshot) -> None:
    x = np.hstack([np.full((len(rows.x), 1), 7.0), rows.x[:, :1]])
    assert [step.features[0] for step in fit_additive(x, rows.bad, np.zeros(len(x)), np.ones(len(x)), [0, -1])] == [1]
    assert fit_additive(x[:, :1], rows.bad, np.zeros(len(x)), np.ones(len(x)), [0]) == []
