import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from training.evaluation.arrays import sigmoid
from training.evaluation.jeffreys import Rate, holm, jeffreys_interval, jeffreys_test
from training.evaluation.probability import log_losses, measure_calibration, tied_bins

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def drawn(rows: int, seed: int, intercept: float = 0.0, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 1.5, rows)
    return z, (rng.random(rows) < sigmoid(intercept + slope * z)).astype(float)


def test_log_loss_is_what_others_compute() -> None:
    z, bad = drawn(500, 1)
    assert log_losses(np.zeros(2), np.array([0.0, 1.0])).tolist() == [np.log(2)] * 2
    assert log_losses(z, bad).mean() == pytest.approx(log_loss(bad, sigmoid(z)), rel=1e-9)
    assert log_losses(np.array([-800.0, 800.0]), np.array([1.0, 1.0])).tolist() == [800.0, 0.0]


def test_parts_that_keep_ties_together_are_worked() -> None:
    values = np.array([3.0, 1.0, 2.0, 1.0, 3.0, 1.0])
    assert [values[part].tolist() for part in tied_bins(values, 3)] == [[1, 1, 1], [2], [3, 3]]
    assert [len(part) for part in tied_bins(np.ones(7))] == [7]
    assert tied_bins(np.array([])) == []
    assert [len(part) for part in tied_bins(np.array([1.0, 2, 2, 3]), 2)] == [1, 3]
    assert [len(part) for part in tied_bins(np.array([1.0] * 8 + [2.0]), 3)] == [8, 1]
    assert [len(part) for part in tied_bins(np.arange(100.0))] == [10] * 10


def test_recalibration_finds_the_line_that_made_the_outcomes() -> None:
    z, bad = drawn(20_000, 11, 0.4, 0.7)
    weight, seller = 1.0 + (np.arange(20_000) % 3), np.arange(20_000)
    slope, _ = measure_calibration(z, bad, weight, seller)
    assert slope.low < 0.7 < slope.high
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z[:, None], bad, weight)
    assert slope.value == pytest.approx(float(fitted.coef_[0, 0]), abs=1e-6)
    shifted, bad = drawn(20_000, 12, 0.4, 1.0)
    _, intercept = measure_calibration(shifted, bad, np.ones(20_000), seller)
    assert intercept.low < 0.4 < intercept.high
    assert sigmoid(shifted + intercept.value).mean() == pytest.approx(bad.mean(), rel=1e-9)


def test_recalibration_has_no_line_where_none_fits_best() -> None:
    z, ones, seller = np.array([-2.0, -1.0, 1.0, 2.0]), np.ones(4), np.arange(4)
    mixed = np.array([0.0, 1, 0, 1])
    for score, bad in ((z, np.zeros(4)), (ones, mixed), (z, (z > 0).astype(float))):
        assert np.isnan(measure_calibration(score, bad, ones, seller)[0].value)
    assert np.isnan(measure_calibration(z, ones, ones, seller)[1].value)
    assert measure_calibration(ones, mixed, ones, seller)[1].value == pytest.approx(-1.0)


def test_its_intervals_are_those_of_drawing_sellers() -> None:
    z, bad = drawn(1500, 3, 0.3, 0.8)
    seller, ones, rng = np.arange(1500) // 2, np.ones(1500), np.random.default_rng(9)
    drawn_lines = [
        [
            line.value
            for line in measure_calibration(z, bad, rng.multinomial(750, [1 / 750] * 750)[seller] * 1.0, seller)
        ]
        for _ in range(200)
    ]
    for found, spread in zip(measure_calibration(z, bad, ones, seller), np.std(drawn_lines, axis=0), strict=True):
        assert (found.high - found.low) / 3.92 == pytest.approx(spread, rel=0.15)


def test_jeffreys_is_the_beta_distribution() -> None:
    assert jeffreys_interval(1, 10) == pytest.approx((0.0110, 0.3813), abs=1e-4)
    assert jeffreys_interval(7, 30) == pytest.approx(beta(7.5, 23.5).ppf([0.025, 0.975]), rel=1e-9)
    assert (jeffreys_interval(0, 5)[0], jeffreys_interval(5, 5)[1]) == (0.0, 1.0)
    assert jeffreys_test(0.1, 3, 10) == pytest.approx((0.0314, 0.9686), abs=1e-4)
    assert jeffreys_test(0.2, 7, 30)[0] == pytest.approx(beta(7.5, 23.5).cdf(0.2), rel=1e-9)
    assert jeffreys_test(0.0, 0, 10) == (0.0, 1.0)


def test_holm_is_worked_and_keeps_its_promises() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.01, np.nan, 0.04])) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert holm(np.array([])).tolist() == []
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


def rate_of(bad: np.ndarray, seller: np.ndarray, weight: np.ndarray | None = None) -> Rate:
    rows = len(bad)
    return Rate.of(np.arange(rows), np.full(rows, 0.2), bad, np.ones(rows) if weight is None else weight, seller)


def test_a_rate_counts_sellers_rather_than_their_rows() -> None:
    bad = np.arange(10) == 3.0
    once = rate_of(bad.astype(float), np.arange(10))
    assert (once.low, once.high, once.effective_rows) == pytest.approx((0.0110, 0.3813, 10), abs=1e-4)
    twice = rate_of(np.tile(bad, 2).astype(float), np.tile(np.arange(10), 2))
    assert (twice.low, twice.high, twice.effective_rows) == pytest.approx((once.low, once.high, 10))
    assert rate_of(np.zeros(6), np.array([1, 1, 1, 2, 2, 2])).effective_rows == pytest.approx(2)
    weighted = rate_of(np.array([0.0, 1.0, 0.0]), np.arange(3), np.array([1.0, 2.0, 1.0]))
    assert (weighted.observed, weighted.low + weighted.high) == (0.5, pytest.approx(1))
    assert weighted.effective_rows == pytest.approx(0.25 / ((1 + 4 + 1) * 0.25 / 16))
    assert rate_of(np.array([0.0, 1.0]), np.zeros(2)).effective_rows == 1
    assert rate_of(np.array([1.0, 0, 1, 0, 0]), np.array([0, 0, 1, 1, 2])).effective_rows == 5
