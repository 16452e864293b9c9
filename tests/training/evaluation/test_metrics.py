"""AUC, its bootstrap, and calibration: worked numbers, and what their definitions promise."""

import numpy as np
import pytest
from training.evaluation.metrics import auc, bootstrap_auc, calibration_by_volume

from training.fit import calibrate


def test_auc_counts_ties_as_one_half() -> None:
    """Worked: scores 1, 2, 2 with bad 0, 0, 1: the bad one beats one good row and ties with one, 0.75."""
    assert auc(np.array([1.0, 2.0, 2.0]), np.array([0.0, 0.0, 1.0])) == 0.75
    assert auc(np.zeros(6), np.array([0.0, 1.0] * 3)) == 0.5
    assert auc(np.array([3.0, 1.0, 2.0]), np.array([1.0, 0.0, 0.0])) == 1.0
    assert np.isnan(auc(np.array([1.0, 2.0]), np.zeros(2)))
    rng = np.random.default_rng(5)
    score, bad = rng.integers(0, 9, 60).astype(float), (rng.random(60) < 0.3).astype(float)
    pairs = [(a > b) + (a == b) / 2 for a in score[bad == 1] for b in score[bad == 0]]
    assert auc(score, bad) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_weights_are_copies_of_rows() -> None:
    """A row of weight 2 counts as if it stood there twice, one of weight 0 not at all."""
    score, bad = np.array([1.0, 2.0, 3.0, 1.5]), np.array([0.0, 1.0, 0.0, 1.0])
    copies = np.array([2, 1, 0, 3])
    assert auc(score, bad, copies.astype(float)) == auc(np.repeat(score, copies), np.repeat(bad, copies))


def test_differences_are_paired_and_sellers_are_drawn_whole() -> None:
    """Equal scores differ by 0 in every draw; a seller's rows twice over tell no more than once."""
    rng = np.random.default_rng(3)
    bad = (rng.random(300) < 0.2).astype(float)
    good, seller = bad + rng.normal(0, 1, 300), np.arange(300)
    found = bootstrap_auc({"a": good, "b": good, "noise": rng.normal(0, 1, 300)}, bad, seller)
    assert (found["a-b"].value, found["a-b"].low, found["a-b"].high) == (0.0, 0.0, 0.0)
    assert found["a-noise"].value == found["a"].value - found["noise"].value
    assert found["a-noise"].low > 0
    assert found["a"].low < found["a"].value < found["a"].high
    twice = bootstrap_auc({"a": np.tile(good, 2)}, np.tile(bad, 2), np.tile(seller, 2))["a"]
    assert twice == found["a"]
    apart = bootstrap_auc({"a": np.tile(good, 2)}, np.tile(bad, 2), np.arange(600))["a"]
    assert apart.high - apart.low < 0.8 * (twice.high - twice.low)


def test_calibration_is_told_by_tenth_of_volume() -> None:
    """Worked: twenty rows of 1 to 20 orders in tenths of two; the row of most orders alone is bad."""
    orders = np.arange(20, 0, -1, dtype=float)
    bad = (orders == 20).astype(float)
    deciles = calibration_by_volume(orders / 100, bad, orders)
    assert [(d.rows, d.orders_from, d.orders_to) for d in deciles] == [(2, 2.0 * n + 1, 2.0 * n + 2) for n in range(10)]
    assert deciles[0].predicted == pytest.approx(0.015)
    assert [d.observed for d in deciles] == [0.0] * 9 + [0.5]
    assert [d.rows for d in calibration_by_volume(bad[:3], bad[:3], orders[:3])] == [1, 1, 1]


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
