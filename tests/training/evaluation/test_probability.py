import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from training.evaluation.arrays import sigmoid
from training.evaluation.jeffreys import Rate, holm, jeffreys_interval, jeffreys_test
from training.evaluation.probability import Recalibration, losses, tied_bins
from training.evaluation.resampling import draw

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def drawn(rows: int, seed: int, intercept: float = 0.0, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 1.5, rows)
    return z, (rng.random(rows) < sigmoid(intercept + slope * z)).astype(float)


def test_log_loss_is_what_others_compute() -> None:
    """Worked: log-odds 0 cost ln 2."""
    z, bad = drawn(500, 1)
    assert losses(np.zeros(2), np.array([0.0, 1.0])).tolist() == [np.log(2)] * 2
    assert losses(z, bad).mean() == pytest.approx(log_loss(bad, sigmoid(z)), rel=1e-9)
    assert losses(np.array([-800.0, 800.0]), np.array([1.0, 1.0])).tolist() == [800.0, 0.0]


def test_parts_that_keep_ties_together_are_worked() -> None:
    """Worked: 1, 1, 1, 2, 3, 3 in three parts; equal rows leave one part, an empty input none."""
    values = np.array([3.0, 1.0, 2.0, 1.0, 3.0, 1.0])
    assert [values[part].tolist() for part in tied_bins(values, 3)] == [[1, 1, 1], [2], [3, 3]]
    assert [len(part) for part in tied_bins(np.ones(7))] == [7]
    assert tied_bins(np.array([])) == []
    assert [len(part) for part in tied_bins(np.array([1.0, 2, 2, 3]), 2)] == [1, 3]
    assert [len(part) for part in tied_bins(np.array([1.0] * 8 + [2.0]), 3)] == [8, 1]
    assert [len(part) for part in tied_bins(np.arange(100.0))] == [10] * 10


def test_recalibration_finds_the_line_that_made_the_outcomes() -> None:
    z, bad = drawn(20_000, 11, 0.4, 0.7)
    weight = 1.0 + (np.arange(20_000) % 3)
    line = Recalibration(z, bad, weight)
    assert line.slope == pytest.approx(0.7, abs=0.05)
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z[:, None], bad, weight)
    assert line.slope == pytest.approx(float(fitted.coef_[0, 0]), abs=1e-6)
    shifted, bad = drawn(20_000, 12, 0.4, 1.0)
    line = Recalibration(shifted, bad, np.ones(20_000))
    assert line.intercept == pytest.approx(0.4, abs=0.06)
    assert sigmoid(shifted + line.intercept).mean() == pytest.approx(bad.mean(), rel=1e-9)


def test_recalibration_has_no_line_where_none_fits_best() -> None:
    z = np.array([-2.0, -1.0, 1.0, 2.0])
    for score, bad in ((z, np.zeros(4)), (np.ones(4), np.array([0.0, 1, 0, 1])), (z, (z > 0).astype(float))):
        assert np.isnan(Recalibration(score, bad, np.ones(4)).slope)
    assert np.isnan(Recalibration(z, np.ones(4), np.ones(4)).intercept)
    assert Recalibration(np.ones(4), np.array([0.0, 1, 0, 1]), np.ones(4)).intercept == pytest.approx(-1.0)


def test_a_step_of_newton_stands_for_refitting_each_draw() -> None:
    z, bad = drawn(1500, 3, 0.3, 0.8)
    seller, line = np.arange(1500) // 2, Recalibration(z, bad, np.ones(1500))
    draws = draw({}, {"m": line.terms()}, seller, np.ones(1500), bad, 9, 200)
    slope, intercept = line.intervals(draws.sums["m"])
    rng, refits = np.random.default_rng(9), []
    for _ in range(200):
        copies = np.bincount(rng.integers(0, 750, 750), minlength=750)[seller].astype(float)
        again = Recalibration(z, bad, copies)
        refits.append((again.slope, again.intercept))
    for found, real in zip((slope, intercept), np.percentile(refits, [2.5, 97.5], axis=0).T, strict=True):
        width = real[1] - real[0]
        assert (found.low, found.high) == pytest.approx(tuple(real), abs=0.05 * width)
        assert found.low < found.value < found.high


def test_jeffreys_is_the_beta_distribution() -> None:
    """Worked: 1 of 10: 0.0110 to 0.3813; 0.1 predicted, 3 of 10 bad: 0.0314 and 0.9686. The ends reach 0 and 1."""
    assert jeffreys_interval(1, 10) == pytest.approx((0.0110, 0.3813), abs=1e-4)
    assert jeffreys_interval(7, 30) == pytest.approx(beta(7.5, 23.5).ppf([0.025, 0.975]), rel=1e-9)
    assert (jeffreys_interval(0, 5)[0], jeffreys_interval(5, 5)[1]) == (0.0, 1.0)
    assert jeffreys_test(0.1, 3, 10) == pytest.approx((0.0314, 0.9686), abs=1e-4)
    assert jeffreys_test(0.2, 7, 30)[0] == pytest.approx(beta(7.5, 23.5).cdf(0.2), rel=1e-9)
    assert jeffreys_test(0.0, 0, 10) == (0.0, 1.0)


def test_holm_is_worked_and_keeps_its_promises() -> None:
    """Worked: 0.01, 0.04, 0.03 become 0.03, 0.06, 0.06."""
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.01, np.nan, 0.04])) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert holm(np.array([])).tolist() == []
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


def rate_of(bad: np.ndarray, seller: np.ndarray, weight: np.ndarray | None = None) -> Rate:
    rows = len(bad)
    return Rate.of(np.arange(rows), np.full(rows, 0.2), bad, np.ones(rows) if weight is None else weight, seller)


def test_a_rate_counts_sellers_rather_than_their_rows() -> None:
    """Worked: ten rows of ten sellers, one bad: 0.0110 to 0.3813; each row twice: the same."""
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
