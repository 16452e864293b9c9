import numpy as np
import pytest

from training.fitting.fit import base_log_odds
from training.fitting.logistic import calibrate


def test_calibration_finds_the_line_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(11)
    raw, start = rng.normal(-1, 1.5, 20_000), np.log(rng.uniform(0.1, 3, 20_000))
    bad = (rng.random(20_000) < 1 / (1 + np.exp(-(0.4 + 0.7 * raw + start)))).astype(float)
    intercept, slope = calibrate(raw, bad, start)
    assert intercept == pytest.approx(0.4, abs=0.1)
    assert slope == pytest.approx(0.7, abs=0.05)
    twice = np.repeat(np.arange(20_000), 1 + (bad > 0))
    as_copies = calibrate(raw[twice], bad[twice], start[twice])
    assert calibrate(raw, bad, start, 1 + bad) == pytest.approx(as_copies, abs=1e-6)
    assert calibrate(raw, np.zeros(20_000), start) == (0.0, 1.0)
    backwards = (rng.random(20_000) < 1 / (1 + np.exp(2 * raw))).astype(float)
    assert calibrate(raw, backwards, np.zeros(20_000))[1] == 0.0


def test_a_score_that_is_far_too_sure_of_nothing_has_slope_0() -> None:
    rng = np.random.default_rng(13)
    raw = rng.normal(0, 12, 3_000)
    bad = (rng.random(3_000) < 0.25).astype(float)
    intercept, slope = calibrate(raw, bad, np.zeros(3_000))
    assert slope == pytest.approx(0, abs=0.01)
    assert intercept == pytest.approx(np.log(1 / 3), abs=0.15)


def test_the_base_log_odds_are_those_of_the_worked_number() -> None:
    bad = np.array([0.0, 1.0])
    assert base_log_odds(bad, np.zeros(2)) == pytest.approx(0.0, abs=1e-9)
    assert base_log_odds(bad, np.ones(2)) == pytest.approx(-1.0, abs=1e-9)
