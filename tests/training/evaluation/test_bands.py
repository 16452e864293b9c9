import numpy as np
import pytest

from scoring.base.enums import Tier
from tests.helpers.evaluation_cases import POLICY, case_of
from training.evaluation.bands import count_strips, read_bands
from training.evaluation.jeffreys import jeffreys_interval

CUT_OFFS = {Tier.STANDARD: 400, Tier.TRUSTED: 500, Tier.EXEMPLARY: 600}


def test_the_worked_rate_at_the_reference_exposure() -> None:
    """5 % observed, 6 % predicted at their own exposure and 3 % at the reference exposure give 2.5 %."""
    strips = {
        "points_from": [450],
        "rows": [200],
        "weight": [200.0],
        "bad": [10.0],
        "own": [12.0],
        "reference": [6.0],
        "unrated": 50,
        "independence": 1.0,
    }
    [empty, row, *_] = read_bands(strips, CUT_OFFS)
    assert (row["tier"], row["share"], row["rate"], row["apart"]) == ("standard", 0.8, 0.025, None)
    assert (row["low"], row["high"]) == pytest.approx([end / 2 for end in jeffreys_interval(10, 200)])
    assert (empty["rows"], empty["rate"]) == (0, None)


def test_bands_know_the_true_rate_whatever_a_seller_sells() -> None:
    case = case_of(rows=40_000, champion=False)
    z = case.served["lightgbm"]
    own = z + np.where(case.points >= 600, np.log(10.0), 0.0)
    bad = (np.random.default_rng(3).random(len(z)) < 1 / (1 + np.exp(-own))).astype(float)
    served = dict(case.served)
    case = case_of(
        rows=40_000,
        champion=False,
        bad=bad,
        loss=bad,
        log_odds=served | {"lightgbm": own},
        served=served,
    )
    bands = read_bands(count_strips(case), CUT_OFFS)
    codes = np.searchsorted(list(CUT_OFFS.values()), case.points, side="right")
    for code, row in enumerate(bands):
        inside = (codes == code) & ~case.unrated
        assert row["rows"] == inside.sum()
        assert row["low"] <= (1 / (1 + np.exp(-z[inside]))).mean() <= row["high"]
    assert bad[codes == 3].mean() > 2 * bands[3]["rate"]
    assert [row["apart"] for row in bands] == [True, True, True, None]
    assert sum(row["share"] for row in bands) == pytest.approx(1 - case.unrated.mean())


def test_few_rows_do_not_tell_neighbours_apart() -> None:
    bands = read_bands(count_strips(case_of(rows=60)), POLICY.cut_offs)
    assert False in [row["apart"] for row in bands]
