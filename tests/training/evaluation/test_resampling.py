import numpy as np
import pytest

from training.evaluation.ranking import Ranking, auc
from training.evaluation.resampling import bootstrap_auc, draw


def test_differences_are_paired_and_sellers_are_drawn_whole() -> None:
    rng = np.random.default_rng(3)
    bad = (rng.random(300) < 0.2).astype(float)
    good, seller = bad + rng.normal(0, 1, 300), np.arange(300)
    found = bootstrap_auc({"a": good, "b": good, "noise": rng.normal(0, 1, 300)}, bad, seller)
    assert (found["a-b"].value, found["a-b"].low, found["a-b"].high) == (0.0, 0.0, 0.0)
    assert found["a-noise"].value == found["a"].value - found["noise"].value
    assert found["a-noise"].low > 0
    assert found["a"].low < found["a"].value < found["a"].high
    twice = bootstrap_auc({"a": np.tile(good, 2)}, np.tile(bad, 2), np.tile(seller, 2))["a"]
    assert twice.as_dict() == pytest.approx(found["a"].as_dict())
    apart = bootstrap_auc({"a": np.tile(good, 2)}, np.tile(bad, 2), np.arange(600))["a"]
    assert apart.high - apart.low < 0.8 * (twice.high - twice.low)


def test_a_draw_is_the_figure_of_the_rows_drawn() -> None:
    rng = np.random.default_rng(4)
    seller, bad = rng.integers(10, 30, 80), (rng.random(80) < 0.4).astype(float)
    score, terms = np.rint(3 * rng.normal(bad, 1)), rng.normal(size=(80, 2))
    weight = 1.0 + np.arange(80) % 3
    draws = draw({"a": Ranking.of(score, bad)}, {"a": terms}, seller, weight, bad, 7, 45)
    again, names = np.random.default_rng(7), np.unique(seller)
    for k in range(45):
        drawn = names[again.integers(0, len(names), len(names))]
        index = np.concatenate([np.flatnonzero(seller == name) for name in drawn])
        assert draws.auc["a"][k] == pytest.approx(auc(score[index], bad[index], weight[index]), rel=1e-12)
        np.testing.assert_allclose(draws.sums["a"][k], terms[index].sum(axis=0), atol=1e-9)
