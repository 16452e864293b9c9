import numpy as np
import pytest

from scoring.base.errors import ConfigurationWrong
from scoring.base.time import parse_day
from tests.helpers.training_ledgers import STUDIES, restated
from training.fitting.folds import assign_folds
from training.study.loading import load_study

MARKETPLACE = load_study(STUDIES / "marketplace.toml")


def test_folds_hold_whole_sellers_and_are_alike_in_size() -> None:
    seller = np.repeat(np.arange(20_000), 3)
    found = assign_folds(seller, 5, 7)
    assert (found.reshape(-1, 3) == found[::3, None]).all()
    np.testing.assert_allclose(np.bincount(found[::3]) / 20_000, 0.2, atol=0.01)
    np.testing.assert_array_equal(assign_folds(seller[30:], 5, 7), found[30:])
    assert assign_folds(np.arange(8), 4, 1).tolist() == [2, 2, 3, 3, 3, 3, 2, 2]
    assert 0.7 < (assign_folds(seller, 5, 8) != found).mean() < 0.9


def test_an_embargo_puts_days_between_training_and_test() -> None:
    as_of = parse_day("2026-01-01")
    plain, (test,) = MARKETPLACE.find_points(as_of)
    assert plain[-1].window_end + 45 == test.day
    held = restated(MARKETPLACE, observation={"embargo_days": 10})
    train, (same,) = held.find_points(as_of)
    assert same == test
    assert train[-1].window_end + 45 + 10 == test.day
    assert [a.day - b.day for a, b in zip(plain, train, strict=True)] == [10] * len(train)


def test_a_stated_training_point_inside_the_embargo_is_refused() -> None:
    stated = restated(MARKETPLACE, observation={"train": ("2024-01-01",), "test": ("2024-08-23",), "embargo_days": 10})
    assert parse_day("2024-08-23") - parse_day("2024-01-01") == 180 + 45 + 10
    stated.find_points(parse_day("2026-01-01"))
    closer = restated(stated, observation={"embargo_days": 11})
    with pytest.raises(ConfigurationWrong, match="its maturity and the embargo of 11 days are not over by the test"):
        closer.find_points(parse_day("2026-01-01"))
