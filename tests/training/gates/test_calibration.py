"""The gates of calibration."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.helpers.evaluation_cases import case_of
from tests.training.gates.judging import evaluate, failing, gates_of, judged, shifted
from training.gates.calibration import proven_ratio, row_ratio


@pytest.mark.long
def test_a_model_that_predicts_at_the_wrong_level_is_stopped() -> None:
    """Half of the odds predicted: level, tiers and segments fail, the slope passes."""
    found = failing(shifted(lightgbm=lambda z, _: z - 0.7))
    assert {"calibration_level", "calibration_grades", "segments_calibration"} <= set(found)
    assert "calibration_slope" not in found
    over = judged(shifted(lightgbm=lambda z, _: z + 0.7))
    assert not over["calibration_level"]["ok"]
    assert not over["calibration_grades"]["ok"]


@pytest.mark.long
def test_a_sentence_has_its_interval_and_says_what_passes() -> None:
    """A tier that is off beyond chance by less than the limit passes."""
    found = judged(shifted(lightgbm=lambda z, _: z - 0.4))
    level, grades = found["calibration_level"], found["calibration_grades"]
    assert re.search(
        r"predicted: 1\.\d+ times \(95 % interval \d\.\d+ to \d\.\d+\)\. A factor of up to 1\.33", level["text"]
    )
    assert (grades["ok"], 1 < grades["number"] < 1.3) == (True, True)
    assert grades["text"].endswith(f"off by a factor of {grades['number']:.2f} at least. A factor of up to 1.3 passes.")
    wide = judged(shifted(lightgbm=lambda z, _: z - 0.4), gates=gates_of({"calibration_grades": 2}))
    assert wide["calibration_grades"]["text"].endswith("A factor of up to 2 passes.")


@pytest.mark.long
def test_a_share_by_weight_is_not_taken_for_one_by_number() -> None:
    case = case_of()
    weighed = evaluate(replace(case, weight=np.where(case.bad == 1, 3.0, 1.0)))
    weight, number = weighed["models"]["lightgbm"]["calibration"]["observed"], case.bad.mean()
    assert weight > 2 * number
    text = judged(weighed)["calibration_level"]["text"]
    assert text.startswith(f"{weight:.2%} of the rows by weight ({number:.2%} by number) are bad where ")
    plain = judged(evaluate(case))["calibration_level"]["text"]
    assert plain.startswith(f"{number:.2%} of the rows are bad where ")


@pytest.mark.long
def test_a_model_that_exaggerates_is_stopped_by_the_slope() -> None:
    """Log-odds twice as far apart at the same level: slope 0.5, number 2."""
    found = judged(shifted(lightgbm=lambda z, _: 2 * z + 1.75))
    assert found["calibration_slope"]["number"] == pytest.approx(2, rel=0.15)
    assert not found["calibration_slope"]["ok"]
    assert "too far apart" in found["calibration_slope"]["text"]
    backwards = judged(shifted(lightgbm=lambda z, _: -z - 5))
    assert backwards["calibration_slope"]["number"] is None
    assert not backwards["calibration_slope"]["ok"]


def test_what_is_proven_of_a_tier_is_worked() -> None:
    """Worked: 40 of 400 bad where 5 % were predicted: 0.0733 / 0.05 = 1.47; less with ten questions."""
    row = {"effective_rows": 400, "observed": 0.1, "predicted": 0.05}
    assert proven_ratio(row, 1) == pytest.approx(1.47, abs=0.001)
    assert 1 < proven_ratio(row, 10) < 1.47
    assert proven_ratio(row | {"predicted": 0.1}, 1) == 1
    assert proven_ratio(row | {"predicted": 0.2}, 1) == pytest.approx(0.2 / 0.1323, abs=0.001)
    assert proven_ratio({"effective_rows": 5, "observed": 1.0, "predicted": 0.0}, 1) > 1000


@pytest.mark.long
def test_harm_to_one_segment_is_seen_where_the_whole_looks_well() -> None:
    harmed = shifted(lightgbm=lambda z, case: np.where(case.file == "thin", z - 1.1, z))
    found = judged(harmed)["segments_calibration"]
    assert not found["ok"]
    assert "file thin" in found["text"]
    noise = np.random.default_rng(9).normal(0, 3, 3000)
    blurred = shifted(lightgbm=lambda z, case: np.where(case.file == "thin", -2.5 + noise * 0.1, z))
    found = judged(blurred)["segments_ranking"]
    assert not found["ok"]
    assert "file thin" in found["text"]


@pytest.mark.long
def test_a_fault_of_the_champion_too_is_no_harm() -> None:

    def thin(by: float) -> Any:
        return lambda z, case: np.where(case.file == "thin", z - by, z)

    assert judged(shifted(lightgbm=thin(1.1), champion=thin(1.6)))["segments_calibration"]["ok"]
    assert not judged(shifted(lightgbm=thin(1.1), champion=thin(0.2)))["segments_calibration"]["ok"]


def test_small_segments_are_not_judged() -> None:
    harmed = shifted(lightgbm=lambda z, case: np.where(case.file == "thin", z - 1.1, z))
    assert judged(harmed, gates=gates_of({"segment_rows": 5000}))["segments_calibration"]["ok"]
    noise = np.random.default_rng(9).normal(0, 0.3, 3000)
    blurred = shifted(lightgbm=lambda z, case: np.where(case.file == "thin", -2.5 + noise, z))
    assert judged(blurred, gates=gates_of({"segment_rows": 5000}))["segments_ranking"]["ok"]


def test_a_ratio_is_worked() -> None:
    """Worked: 9 bad rows of 100 where 4 were predicted: 9.5 / 4.5 = 2.11; the inverse counts the same."""
    row = {"effective_rows": 100, "observed": 0.09, "predicted": 0.04}
    assert row_ratio(row) == pytest.approx(2.11, abs=0.01)
    assert row_ratio(row, 0.09) == 1.0
    assert row_ratio({"effective_rows": 100, "observed": 0.04, "predicted": 0.09}) == row_ratio(row)
