"""Fitting: the calibration's line."""

import numpy as np
import pytest

from training.fitting.fit import base_log_odds, calibrate


def test_calibration_finds_the_line_that_made_the_outcomes() -> None:
    """Intercept and slope come back from 20,000 draws; each row's own exposure is taken into account."""
    rng = np.random.default_rng(11)
    raw, start = rng.normal(-1, 1.5, 20_000), np.log(rng.uniform(0.1, 3, 20_000))
    bad = (rng.random(20_000) < 1 / (1 + np.exp(-(0.4 + 0.7 * raw + start)))).astype(float)
    intercept, slope = calibrate(raw, bad, start)
    assert intercept == pytest.approx(0.4, abs=0.1)
    assert slope == pytest.approx(0.7, abs=0.05)
    assert calibrate(raw, np.zeros(20_000), start) == (0.0, 1.0)
    backwards = (rng.random(20_000) < 1 / (1 + np.exp(2 * raw))).astype(float)
    assert calibrate(raw, backwards, np.zeros(20_000))[1] == 0.0


def test_the_base_log_odds_are_those_of_the_worked_number() -> None:
    """Half the rows bad: 0 from a start of 0, -1 from a start of 1."""
    bad = np.array([0.0, 1.0])
    assert base_log_odds(bad, np.zeros(2)) == pytest.approx(0.0, abs=1e-9)
    assert base_log_odds(bad, np.ones(2)) == pytest.approx(-1.0, abs=1e-9)
