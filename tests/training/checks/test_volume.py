from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scoring.model.promises import free_direction
from tests.helpers.curve_rows import CHOSEN, rows_of
from tests.helpers.training_ledgers import restated
from training.checks.data import check_volume
from training.observation.snapshots import Snapshot
from training.study.definition import Study


@pytest.fixture
def study(study: Study) -> Study:
    return restated(study, exposure={"reference_orders": None}, features=CHOSEN)


def rows(slope: float) -> Snapshot:
    rng = np.random.default_rng(2)
    orders = np.round(np.exp(rng.normal(4, 1, 1500)))
    bad = (rng.random(1500) < 1 / (1 + np.exp(2 - slope * (np.log(orders) - 4)))).astype(float)
    return replace(rows_of(), window_orders=orders, bad=bad, day=np.zeros(1500, dtype=np.int64))


def test_a_count_that_rises_with_volume_names_both_remedies(study: Study) -> None:
    check = check_volume(study, rows(1.0))
    assert check.ok
    assert check.number > 0.65
    assert "state bad.share, or [exposure]" in check.text


def test_volume_that_ranks_by_itself_asks_which_it_is(study: Study) -> None:
    stated = restated(study, exposure={"reference_orders": 100.0})
    assert 'state bad.volume = "answer"' in check_volume(stated, rows(3.0)).text
    assert "state" not in check_volume(restated(study, bad={"volume": "answer"}), rows(3.0)).text
    assert "state" not in check_volume(restated(study, bad={"share": 0.2}), rows(3.0)).text
    assert "state" not in check_volume(stated, rows(1.0)).text
    assert "state" not in check_volume(study, rows(0.0)).text


@pytest.mark.parametrize(
    ("parts", "by_volume"),
    [
        ({}, True),
        ({"exposure": {"reference_orders": 100.0}}, True),
        ({"bad": {"share": 0.2}}, False),
        ({"bad": {"volume": "answer"}}, False),
        ({"bad": {"share": 0.2}, "features": (free_direction(CHOSEN[2]),)}, True),
    ],
)
def test_a_study_is_judged_at_equal_volume_unless_it_is_a_rate(
    study: Study, parts: dict[str, Any], by_volume: bool
) -> None:
    assert restated(study, **parts).at_equal_volume is by_volume
