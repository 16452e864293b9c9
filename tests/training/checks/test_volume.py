"""A label that counts violations is distinguished from a label over orders before training."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.training_ledgers import STUDIES, restated
from tests.training.fitting.test_curves import CHOSEN, rows_of
from training.checks.volume import check_bad_by_volume
from training.observation.snapshots import Snapshot
from training.study.definition import Study
from training.study.loading import load_study


@pytest.fixture
def study() -> Study:
    return restated(load_study(STUDIES / "marketplace.toml"), exposure={"reference_orders": None}, features=CHOSEN)


def rows(slope: float) -> Snapshot:
    rng = np.random.default_rng(2)
    orders = np.round(np.exp(rng.normal(4, 1, 1500)))
    bad = (rng.random(1500) < 1 / (1 + np.exp(2 - slope * (np.log(orders) - 4)))).astype(float)
    return replace(rows_of(), orders=orders, bad=bad)


def test_a_count_that_rises_with_volume_names_both_remedies(study: Study) -> None:
    check = check_bad_by_volume(study, rows(1.0))
    assert not check.ok
    assert check.number > 0.65
    assert "state [exposure] with reference_orders" in check.text
    assert 'exposure = "free" in [directions]' in check.text
    assert "exposure@1 forbids" in check.text


def test_without_a_prohibition_or_a_rise_there_is_no_finding(study: Study) -> None:
    assert check_bad_by_volume(restated(study, exposure={"reference_orders": 100.0}), rows(1.0)).ok
    assert check_bad_by_volume(restated(study, bad={"share": 0.2}), rows(1.0)).ok
    free = tuple(replace(f, direction=0) if f.key == "exposure@1" else f for f in CHOSEN)
    assert check_bad_by_volume(replace(study, features=free), rows(1.0)).ok
    assert check_bad_by_volume(replace(study, features=CHOSEN[:2]), rows(1.0)).ok
    assert check_bad_by_volume(study, rows(0.0)).ok
    assert check_bad_by_volume(study, rows(-1.0)).ok
