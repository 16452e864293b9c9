import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.stats import chi2

from training.evaluation.stability import Samples, Sellers, compare_with_today, edges_of, psi

counts = st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(any)


def test_psi_is_worked() -> None:
    assert psi(np.array([50.0, 50]), np.array([60.0, 40])) == pytest.approx(0.0405, abs=1e-4)
    share = 0.5 / 100.5
    expected = (0.5 - share) * np.log(0.5 / share) + (0.5 - 100 / 100.5) * np.log(0.5 / (100 / 100.5))
    assert psi(np.array([100.0, 0, 0]), np.array([50.0, 50, 0])) == pytest.approx(expected)
    assert edges_of(np.arange(1, 11.0), 2).tolist() == [5.5]
    assert edges_of(np.array([0.0, 0, 0, 1]), 2).tolist() == [np.nextafter(0, -1), 0.0]


def test_clustered_rows_alarm_in_one_of_twenty_samples() -> None:
    rng, alarms, naive, sets = np.random.default_rng(2), 0, 0, 200
    first, second = np.repeat(np.arange(200), 5), np.repeat(np.arange(100, 300), 5)
    for _ in range(sets):
        own = rng.normal(size=300)
        sample = [np.rint(4 * (own[part] + rng.normal(0, 0.3, 1000))) for part in (first, second)]
        found = Samples(first, second).shift(sample[0], sample[1], 3)
        alarms += found.value > found.critical
        naive += found.value > chi2(9).ppf(0.95) * 2 / 1000
    assert 0.01 <= alarms / sets <= 0.10
    assert naive / sets > 0.2


def test_a_shift_is_found_and_a_constant_column_has_none() -> None:
    rng, samples = np.random.default_rng(4), Samples(np.arange(800), np.arange(800, 1600))
    found = samples.shift(rng.normal(size=800), rng.normal(0.5, 1, 800), 1)
    assert found.value > 5 * found.critical
    ones = np.ones(800)
    assert (samples.shift(ones, ones, 1).value, samples.shift(ones, ones, 1).critical) == (0.0, 0.0)
    for other in (0.0, 2.0):
        found = samples.shift(ones, np.where(np.arange(800) < 80, other, 1.0), 1)
        assert found.value > found.critical
    assert samples.shift(ones, 2 * ones, 1).value > 1


def sellers(rng: np.random.Generator, rows: int, young: float, worse: float) -> Sellers:
    is_young = rng.random(rows) < young
    points = np.clip(np.rint(rng.normal(600 - 100 * is_young - worse, 60)), 0, 1000).astype(np.int64)
    tenure = np.where(is_young, rng.uniform(0, 90, rows), rng.uniform(400, 900, rows))
    return Sellers(points, np.arange(rows), tenure, np.floor(rng.lognormal(3, 1, rows)))


@pytest.mark.parametrize(
    ("young", "worse", "every", "alike"), [(0.2, 0, False, False), (0.6, 0, True, False), (0.2, 60, True, True)]
)
def test_growth_is_told_from_a_shift(young: float, worse: float, every: bool, alike: bool) -> None:
    rng = np.random.default_rng(6)
    found = compare_with_today(sellers(rng, 3000, 0.2, 0), sellers(rng, 4000, young, worse), 1)
    assert (found["all"].low >= 0.1, found["alike"].low >= 0.1) == (every, alike)
    for interval in found.values():
        assert interval.low < interval.value


def test_chance_alone_is_no_shift_from_today() -> None:
    rng = np.random.default_rng(7)
    lows = [compare_with_today(sellers(rng, 300, 0.2, 0), sellers(rng, 300, 0.2, 0), k)["all"].low for k in range(40)]
    assert max(lows) < 0.1
    assert np.mean(np.array(lows) > 0) <= 0.1
