import json

import numpy as np
import pytest

from scoring.base.canonical import JsonObject, canonical_json
from tests.helpers.evaluation_cases import case_of
from training.evaluation.arrays import sigmoid, to_json_values
from training.evaluation.figures import evaluate
from training.evaluation.probability import log_losses


@pytest.fixture(scope="module")
def found() -> JsonObject:
    return evaluate(case_of())


@pytest.mark.long
def test_an_evaluation_is_json_and_the_same_twice(found: JsonObject) -> None:
    assert canonical_json(found) == canonical_json(evaluate(case_of()))
    assert json.loads(canonical_json(found)) == found
    assert to_json_values({"a": float("nan"), "b": np.float64(1 / 3), "c": np.arange(2)}) == {
        "a": None,
        "b": 0.333333333333,
        "c": [0, 1],
    }


def test_every_table_of_the_report_is_there(found: JsonObject) -> None:
    models = ["lightgbm", "unconstrained", "logistic", "points_rule", "raw_count", "champion"]
    assert list(found["curves"]["roc"]) == list(found["curves"]["precision"]) == models
    models[5:5] = ["window_volume", "past_volume"]
    assert list(found["auc"]) == list(found["equal_volume"]["auc"]) == models
    for pairs in (found, found["equal_volume"]):
        assert list(pairs["difference"]) == [f"lightgbm-{name}" for name in models[1:]]
    assert list(found["models"]) == ["lightgbm", "unconstrained", "logistic", "champion"]
    assert 8 <= len(found["reliability"]) <= 10
    assert found["test"]["seen_rows"] + found["test"]["unseen_rows"] == found["test"]["rows"] == 3000
    assert (found["train"]["rows"], found["train"]["sellers"], found["test"]["sellers"]) == (6000, 3000, 2400)
    without = evaluate(case_of(champion=False))
    assert without["migration"] is None


def test_the_figures_are_those_of_the_truth(found: JsonObject) -> None:
    calibration = found["models"]["lightgbm"]["calibration"]
    for name, truth in (("slope", 1.0), ("intercept", 0.0)):
        assert calibration[name]["low"] < truth < calibration[name]["high"]
    assert found["difference"]["lightgbm-logistic"]["low"] > 0
    inside = [row["low"] <= row["predicted"] <= row["high"] for row in found["reliability"]]
    assert sum(inside) >= 8
    assert found["psi"]["score"]["value"] < 2 * found["psi"]["score"]["critical"]


def test_figures_of_probabilities_are_means_over_rows(found: JsonObject) -> None:
    case = case_of()
    for name in ("lightgbm", "champion"):
        z, figures = case.log_odds[name], found["models"][name]
        assert figures["log_loss"]["value"] == pytest.approx(log_losses(z, case.bad).mean(), rel=1e-9)
        assert figures["log_loss"]["low"] < figures["log_loss"]["value"] < figures["log_loss"]["high"]
        assert figures["calibration"]["predicted"] == pytest.approx(sigmoid(z).mean())


def test_what_a_row_will_sell_moves_no_ranking_figure(found: JsonObject) -> None:
    case = case_of()
    own = np.random.default_rng(5).normal(0, 1, len(case.bad))
    moved = evaluate(case_of(log_odds={name: z + own for name, z in case.served.items()}, served=case.served))
    for place in ("auc", "difference", "equal_volume", "curves", "migration"):
        assert moved[place] == found[place]
    for kind, rows in [*found["segments"].items(), ("month", found["by_month"])]:
        others = moved["by_month"] if kind == "month" else moved["segments"][kind]
        for row, other in zip(rows, others, strict=True):
            aucs = [key for key in row if key.startswith("auc")]
            assert {key: row[key] for key in aucs} == {key: other[key] for key in aucs}
    assert moved["models"]["lightgbm"]["log_loss"] != found["models"]["lightgbm"]["log_loss"]
    assert moved["models"]["lightgbm"]["calibration"] != found["models"]["lightgbm"]["calibration"]


def test_weights_reach_every_rate() -> None:
    bad = case_of().bad
    found = evaluate(case_of(weight=1 + 2 * bad))
    assert found["base_rate"] == pytest.approx(3 * bad.sum() / (3 * bad.sum() + (1 - bad).sum()))
    assert found["models"]["lightgbm"]["calibration"]["intercept"]["value"] == pytest.approx(np.log(3), abs=0.15)
    whole = [row["observed"] for kind in found["segments"].values() for row in kind if row["rows"] > 2000]
    assert np.mean(whole) == pytest.approx(found["base_rate"], abs=0.02)


def test_a_case_too_small_for_figures_has_nulls() -> None:
    rows = 30
    found = evaluate(case_of(rows=rows, bad=np.zeros(rows)))
    assert found["auc"]["lightgbm"] == {"value": None, "low": None, "high": None}
    assert found["models"]["lightgbm"]["calibration"]["slope"]["value"] is None
    assert found["base_rate"] == 0
    canonical_json(found)
