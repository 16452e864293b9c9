from dataclasses import replace

import numpy as np
import pytest

from scoring.base.arrays import Floats
from tests.helpers.curve_rows import CHOSEN, rows_of
from tests.helpers.training_ledgers import restated
from training.fitting import slope as slopes
from training.fitting.curves import Curves
from training.fitting.fit import RawScorer, exposure_offset, fit_curves, log_exposure
from training.fitting.slope import ASSUMED, ESTIMATED, MATERIAL, STATED, Slope, estimate, slope_beside_score
from training.observation.snapshots import Snapshot
from training.study.definition import Study

REFERENCE = 1000.0


@pytest.fixture(scope="module")
def study(study: Study) -> Study:
    return restated(study, model={"rounds": 20}, features=CHOSEN)


def sold(slope: float, n: int = 3000, *, seed: int = 10) -> Snapshot:
    rng = np.random.default_rng(seed)
    size = rng.normal(0.0, 1.2, n)
    before = np.round(REFERENCE * np.exp(size))
    orders = np.maximum(np.round(REFERENCE * np.exp(size + rng.normal(0, 0.4, n))), 1.0)
    incidents = rng.poisson(0.7 * np.exp(0.5 * size)).astype(float)
    x = np.stack([incidents, rng.uniform(0, 1000, n), 1 / (1 + np.exp(-size))], axis=1)
    logit = 0.6 * incidents - 2.5 + slope * np.log(orders / REFERENCE)
    bad = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    return replace(rows_of(n), x=x, bad=bad, window_orders=orders, orders=before)


def fit(_: int, part: Snapshot, near: Study) -> RawScorer:
    return fit_curves(part, near).raw_scores


def raw(curves: Curves, rows: Snapshot) -> Floats:
    return curves.raw_scores(rows.x)


@pytest.mark.parametrize("true", [0.0, 0.4, 1.0])
def test_the_slope_that_made_the_outcomes_is_found(study: Study, true: float) -> None:
    rows, test = sold(true), sold(true, seed=11)
    found = estimate(rows, study, fit)
    assert found.how == ESTIMATED
    assert found.low is not None
    assert found.high is not None
    assert found.low <= true <= found.high
    assert 0.3 < found.high - found.low < 0.8
    its = slopes.check_slope(
        found, raw(fit_curves(rows, restated(study, exposure={"slope": found.value})), test), test, study
    )
    assert its.ok
    assert "agrees" in its.text
    if true < 1:
        stated = Slope(1.0, STATED)
        its = slopes.check_slope(
            stated, raw(fit_curves(rows, restated(study, exposure={"slope": 1.0})), test), test, study
        )
        assert not its.ok
        assert "contradicts the slope of 1.000" in its.text


def test_where_nothing_can_be_asked_1_is_assumed_and_said(study: Study) -> None:
    rows = sold(0.4, 600)
    for silent in (replace(rows, window_orders=np.full(600, 5.0)), replace(rows, bad=(np.arange(600) < 12) * 1.0)):
        found = estimate(silent, study, fit)
        assert (found.value, found.how, found.low) == (1.0, ASSUMED, None)
        assert "assumed" in found.text


def test_rows_of_one_seller_are_taken_as_one(study: Study) -> None:
    rows = sold(0.4)
    twice = rows.take(np.repeat(np.arange(len(rows.bad)), 2))
    apart = replace(twice, seller=np.arange(len(twice.bad)))

    def asked(of: Snapshot) -> tuple[float, float]:
        found = slope_beside_score(of.x[:, 0], log_exposure(of.window_orders, study), of)
        assert found is not None
        return found

    (value, error), (same, whole), (_, less) = map(asked, (rows, twice, apart))
    assert same == pytest.approx(value)
    assert whole == pytest.approx(error)
    assert less == pytest.approx(error / np.sqrt(2))


def test_a_small_difference_is_no_finding_however_sure(study: Study) -> None:
    rows = sold(0.4)
    score = 0.6 * rows.x[:, 0]
    found = slope_beside_score(score, log_exposure(rows.window_orders, study), rows)
    reach = 1.96 * found[1] + MATERIAL
    for off, agrees in ((0.9, True), (1.1, False)):
        its = slopes.check_slope(Slope(found[0] + off * reach, STATED), score, rows, study)
        assert its.ok is agrees


def test_the_offset_of_a_row_is_its_exposure_times_the_slope(study: Study) -> None:
    rows = replace(rows_of(1), window_orders=np.array([500.0]))
    assert exposure_offset(rows, restated(study, exposure={"slope": None})) == pytest.approx([-0.693147], abs=1e-6)
    assert exposure_offset(rows, restated(study, exposure={"slope": 1.0})) == pytest.approx([-0.693147], abs=1e-6)
    assert exposure_offset(rows, restated(study, exposure={"slope": 0.5})) == pytest.approx([-0.346574], abs=1e-6)
