import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.helpers.evaluation_cases import case_of
from tests.training.gates.judging import evaluate, gates_of, judged, shifted
from training.gates.calibration import row_ratio, row_spread


@pytest.mark.long
@pytest.mark.parametrize("by", [-0.7, 0.7])
def test_a_model_that_predicts_at_the_wrong_level_is_stopped(by: float) -> None:
    found = judged(shifted(lightgbm=lambda z, _: z + by))
    assert {"calibration", "segments"} <= {gate for gate, row in found.items() if gate != "passed" and not row["ok"]}
    assert "train --recalibrate keeps the tables and fits the level" in found["calibration"]["text"]
    assert "a drift of the base rate" not in found["calibration"]["text"]
    assert found["segments"]["text"].endswith("later training points, or features.without.")


@pytest.mark.parametrize(("before", "passes"), [(0.5, True), (1.0, False)])
def test_a_drift_of_the_base_rate_asks_for_a_signature(before: float, passes: bool) -> None:
    drifted = shifted(lightgbm=lambda z, _: z - 0.8)
    train, test = drifted["train"], drifted["test"]
    train["bad"] = round(before * test["bad"] / test["rows"] * train["rows"])
    found = judged(drifted, gates=gates_of({"segments": 3}))["calibration"]
    assert (found["ok"], found["kind"]) == (False, "advisory" if passes else "hard")
    assert ("a drift of the base rate" in found["text"]) is passes
    assert "train --recalibrate" in found["text"]


@pytest.mark.parametrize(("logistic", "passes"), [(-0.8, True), (0.0, False), (0.8, False)])
def test_a_fault_of_the_reference_too_asks_for_a_signature(logistic: float, passes: bool) -> None:
    found = judged(shifted(lightgbm=lambda z, _: z - 0.8, logistic=lambda z, _: z + logistic))
    for gate in ("calibration", "segments"):
        assert (found[gate]["ok"], found[gate]["kind"]) == (False, "advisory" if passes else "hard")
    assert ("Logistic regression has" in found["calibration"]["text"]) is passes


@pytest.mark.long
def test_a_slope_that_the_reference_shares_asks_for_a_signature() -> None:
    both = {name: lambda z, _: 2 * z + 1.75 for name in ("lightgbm", "logistic")}
    found = judged(shifted(**both))["calibration"]
    assert (found["ok"], found["kind"]) == (False, "advisory")


@pytest.mark.long
def test_a_sentence_has_its_interval_and_says_what_passes() -> None:
    found = judged(shifted(lightgbm=lambda z, _: z - 0.25))
    level, groups = found["calibration"], found["segments"]
    assert re.search(
        r"predicted: 1\.\d+ times \(95 % interval \d\.\d+ to \d\.\d+\)\. A factor of up to 1\.33", level["text"]
    )
    assert (level["ok"], groups["ok"]) == (True, True)
    wide = judged(shifted(lightgbm=lambda z, _: z - 0.7), gates=gates_of({"calibration": 2}))
    assert wide["calibration"]["ok"]
    assert "A factor of up to 2 passes." in wide["calibration"]["text"]


@pytest.mark.long
def test_a_share_by_weight_is_not_taken_for_one_by_number() -> None:
    case = case_of()
    weighed = evaluate(replace(case, weight=np.where(case.bad == 1, 3.0, 1.0)))
    weight, number = weighed["models"]["lightgbm"]["calibration"]["observed"], case.bad.mean()
    assert weight > 2 * number
    text = judged(weighed)["calibration"]["text"]
    assert text.startswith(f"{weight:.2%} of the rows by weight ({number:.2%} by number) are bad where ")
    plain = judged(evaluate(case))["calibration"]["text"]
    assert plain.startswith(f"{number:.2%} of the rows are bad where ")


@pytest.mark.long
def test_a_model_that_exaggerates_is_stopped_by_the_slope() -> None:
    found = judged(shifted(lightgbm=lambda z, _: 2 * z + 1.75))
    assert found["calibration"]["number"] == pytest.approx(2, rel=0.15)
    assert not found["calibration"]["ok"]
    assert "too far apart" in found["calibration"]["text"]
    backwards = judged(shifted(lightgbm=lambda z, _: -z - 5))
    assert backwards["calibration"]["number"] is None
    assert not backwards["calibration"]["ok"]


def test_what_is_known_of_a_tier_is_worked() -> None:
    row = {"effective_rows": 400, "observed": 0.1, "predicted": 0.05}
    assert row_spread(row, 1) == pytest.approx(0.318, abs=0.001)
    assert row_spread(row, 10) > 0.318
    assert row_spread(row | {"predicted": 0.2}, 1) < 0.318
    assert row_spread(row | {"effective_rows": 4, "observed": 0.0, "predicted": 0.3}, 1) > 1


@pytest.mark.long
def test_harm_to_one_segment_is_seen_where_the_whole_looks_well() -> None:
    harmed = shifted(lightgbm=lambda z, case: np.where(case.file == "thin", z - 1.1, z))
    found = judged(harmed)["segments"]
    assert not found["ok"]
    assert "file thin" in found["text"]
    noise = np.random.default_rng(9).normal(0, 3, 3000)
    blurred = shifted(lightgbm=lambda z, case: np.where(case.file == "thin", -2.5 + noise * 0.1, z))
    found = judged(blurred)["ranking"]
    assert not found["ok"]
    assert "file thin" in found["text"]


@pytest.mark.long
@pytest.mark.parametrize("cause", ["drift", "shared"])
def test_a_fault_of_the_whole_excuses_no_segment_of_its_own(cause: str) -> None:
    by = {
        "lightgbm": lambda z, case: np.where(case.file == "thin", z - 1.5, z - 0.35),
        "logistic": lambda z, _: z - 0.35,
    }
    harmed = shifted(**(by if cause == "shared" else {"lightgbm": by["lightgbm"]}))
    train, test, level = harmed["train"], harmed["test"], harmed["models"]["lightgbm"]["calibration"]
    if cause == "drift":
        train["bad"] = round(test["bad"] / test["rows"] * level["predicted"] / level["observed"] * train["rows"])
    found = judged(harmed)
    assert found["calibration"]["kind"] == "advisory"
    assert (found["segments"]["ok"], found["segments"]["kind"]) == (False, "hard")


@pytest.mark.long
def test_a_fault_of_the_champion_too_is_no_harm() -> None:

    def thin(by: float) -> Any:
        return lambda z, case: np.where(case.file == "thin", z - by, z)

    assert judged(shifted(lightgbm=thin(1.1), champion=thin(1.6)))["segments"]["ok"]
    assert not judged(shifted(lightgbm=thin(1.1), champion=thin(0.2)))["segments"]["ok"]


def test_small_segments_are_not_judged() -> None:
    harmed = shifted(lightgbm=lambda z, case: np.where(case.file == "thin", z - 1.1, z))
    assert not judged(harmed, gates=gates_of({"segment_rows": 974}))["segments"]["ok"]
    assert judged(harmed, gates=gates_of({"segment_rows": 975}))["segments"]["ok"]
    noise = np.random.default_rng(9).normal(0, 0.3, 3000)
    blurred = shifted(lightgbm=lambda z, case: np.where(case.file == "thin", -2.5 + noise, z))
    assert judged(blurred, gates=gates_of({"segment_rows": 5000}))["ranking"]["ok"]


def test_a_ratio_is_worked() -> None:
    row = {"effective_rows": 100, "observed": 0.09, "predicted": 0.04}
    assert row_ratio(row) == pytest.approx(2.11, abs=0.01)
    assert row_ratio(row, 0.09) == 1.0
    assert row_ratio({"effective_rows": 100, "observed": 0.04, "predicted": 0.09}) == row_ratio(row)
