import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from training.evaluation.arrays import sigmoid
from training.evaluation.equal_volume import auc_at_equal_volume, compare_pairs, estimate_by_jackknife

row = st.tuples(
    st.integers(-4, 4), st.booleans(), st.integers(0, 30), st.integers(1, 4), st.integers(0, 8), st.integers(0, 2)
)
rows = st.lists(row, min_size=1, max_size=40)
Drawn = list[tuple[int, bool, int, int, int, int]]


def test_an_interval_adds_up_what_each_seller_moves() -> None:
    found = estimate_by_jackknife(0.6, np.array([0.03, -0.04]))
    assert (found.low, found.high) == (pytest.approx(0.502, abs=1e-4), pytest.approx(0.698, abs=1e-4))


@example([(2, True, 10, 1, 0, 0), (1, False, 12, 1, 1, 0), (3, True, 24, 1, 2, 0), (0, False, 20, 1, 3, 1)])
@given(rows)
def test_it_is_the_share_of_such_pairs_in_order(drawn: Drawn) -> None:
    score, bad, volume, weight = (np.array(column, dtype=float) for column in list(zip(*drawn, strict=True))[:4])
    seller, day = (np.array([r[place] for r in drawn]) for place in (4, 5))
    pairs = [
        (weight[i] * weight[j], (score[i] > score[j]) + (score[i] == score[j]) / 2)
        for i in np.flatnonzero(bad == 1)
        for j in np.flatnonzero(bad == 0)
        if 5 * max(volume[i], volume[j]) <= 6 * min(volume[i], volume[j]) and day[i] == day[j]
    ]
    found = auc_at_equal_volume(score, bad, volume, seller, weight, day)
    assert found.pairs == pytest.approx(sum(w for w, _ in pairs))
    if not pairs:
        assert np.isnan(found.value)
        return
    assert found.value == pytest.approx(sum(w * c for w, c in pairs) / found.pairs, abs=1e-12)
    assert found.influence.sum() == pytest.approx(0, abs=1e-9)


@given(rows)
def test_at_one_volume_it_is_the_auc_that_others_compute(drawn: Drawn) -> None:
    score, bad, _, weight = (np.array(column, dtype=float) for column in list(zip(*drawn, strict=True))[:4])
    if 0 < bad.sum() < len(bad):
        found = auc_at_equal_volume(score, bad, np.ones(len(bad)), np.arange(len(bad)), weight)
        assert found.value == pytest.approx(roc_auc_score(bad, score, sample_weight=weight), rel=1e-12)


@pytest.mark.long
def test_the_interval_is_that_of_a_bootstrap_by_seller() -> None:
    rng = np.random.default_rng(4)
    n = 1500
    seller = np.arange(n) // 3
    latent = rng.normal(-1.5, 1, n) + rng.normal(0, 1, n // 3)[seller]
    bad = (rng.random(n) < sigmoid(latent)).astype(float)
    volume = np.floor(rng.lognormal(3, 1, n))
    scores = {"lightgbm": latent, "other": latent + rng.normal(0, 1, n)}
    found, differences = compare_pairs(scores, bad, volume, seller, np.ones(n))
    draws = []
    for _ in range(300):
        copies = np.bincount(rng.integers(0, n // 3, n // 3), minlength=n // 3)[seller].astype(float)
        drawn = copies > 0
        args = bad[drawn], volume[drawn], seller[drawn], copies[drawn]
        draws.append([auc_at_equal_volume(score[drawn], *args).value for score in scores.values()])
    one, other = np.array(draws).T
    for interval, spread in (
        (found["lightgbm"].interval(), one.std()),
        (differences["lightgbm-other"], (one - other).std()),
    ):
        assert (interval.high - interval.low) / 3.92 == pytest.approx(spread, rel=0.15)
    assert differences["lightgbm-other"].value == pytest.approx(found["lightgbm"].value - found["other"].value)


def test_an_interval_does_not_leave_what_an_auc_can_be() -> None:
    score, bad = np.array([4.0, 3.0, 2.5, 1.0, 2.0, 3.5]), np.array([1, 1, 1, 0, 0, 0])
    found = auc_at_equal_volume(score, bad, np.full(6, 100.0), np.arange(6))
    free = estimate_by_jackknife(found.value, found.influence)
    assert free.high > 1
    assert (found.interval().low, found.interval().high) == (free.low, 1.0)
    worst = auc_at_equal_volume(-score, bad, np.full(6, 100.0), np.arange(6)).interval()
    assert (worst.low, worst.high) == (0.0, pytest.approx(1 - free.low))
    nothing = auc_at_equal_volume(score, bad * 0, np.full(6, 100.0), np.arange(6)).interval()
    assert np.isnan([nothing.low, nothing.high]).all()
