"""The whole evaluation: plain JSON, the same twice, and right about a case of which the truth is known."""

import json
from typing import Any

import numpy as np
import pytest

from scoring.canonical import canonical_json
from tests.training.evaluation.cases import case_of
from training.evaluation.arrays import plain, sigmoid
from training.evaluation.figures import evaluate
from training.evaluation.probability import losses
from training.evaluation.ranking import recall_of_loss


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return evaluate(case_of())


def test_an_evaluation_is_json_and_the_same_twice(found: dict[str, Any]) -> None:
    """No NaN, no array; equal bytes for an equal case, and others for another seed of the bootstrap."""
    assert canonical_json(found) == canonical_json(evaluate(case_of()))
    assert json.loads(canonical_json(found)) == found
    other = evaluate(case_of())
    assert other["auc"] != evaluate(case_of(resamples=90))["auc"]
    assert plain({"a": float("nan"), "b": np.float64(1 / 3), "c": np.arange(2)}) == {
        "a": None,
        "b": 0.333333333333,
        "c": [0, 1],
    }


def test_every_table_of_the_report_is_there(found: dict[str, Any]) -> None:
    """The keys that a report reads, and of each model those it can have."""
    models = ["lightgbm", "unconstrained", "logistic", "points_rule", "raw_count", "champion"]
    assert list(found["auc"]) == list(found["models"]) == list(found["curves"]["roc"]) == models
    assert len(found["difference"]) == 15
    assert list(found["delong"]) == [f"lightgbm-{name}" for name in models[1:]]
    assert list(found["paired"]) == ["lightgbm-champion", "lightgbm-logistic", "lightgbm-unconstrained"]
    for name in ("points_rule", "raw_count"):
        figures = found["models"][name]
        assert (figures["log_loss"], figures["brier"], figures["calibration"]) == (None, None, None)
        assert figures["recall_of_loss"]["value"] > 0
    assert len(found["reliability"]) == 10
    assert found["test"]["seen_rows"] + found["test"]["unseen_rows"] == found["test"]["rows"] == 3000
    assert (found["train"]["rows"], found["train"]["sellers"], found["test"]["sellers"]) == (6000, 3000, 2400)
    without = evaluate(case_of(champion=False))
    assert (without["migration"], without["swap"]) == (None, None)
    assert list(without["paired"]) == ["lightgbm-logistic", "lightgbm-unconstrained"]


def test_the_figures_are_those_of_the_truth(found: dict[str, Any]) -> None:
    """The candidate knows the truth: slope 1 and intercept 0 lie in their intervals, and it beats what is blurred."""
    calibration = found["models"]["lightgbm"]["calibration"]
    for name, truth in (("slope", 1.0), ("intercept", 0.0)):
        assert calibration[name]["low"] < truth < calibration[name]["high"]
    assert found["difference"]["lightgbm-logistic"]["low"] > 0
    assert found["paired"]["lightgbm-champion"]["log_loss"]["high"] < 0
    assert found["delong"]["lightgbm-champion"]["p"] < 0.001
    inside = [row["low"] <= row["predicted"] <= row["high"] for row in found["reliability"]]
    assert sum(inside) >= 8
    assert found["psi"]["score"]["value"] < 2 * found["psi"]["score"]["critical"]


def test_paired_figures_are_differences_of_the_models(found: dict[str, Any]) -> None:
    """Point estimates recomputed from the case: log-loss and recall of loss of both, and their difference."""
    case, models, pair = case_of(), found["models"], found["paired"]["lightgbm-champion"]
    for name in ("lightgbm", "champion"):
        z = case.log_odds[name]
        assert models[name]["log_loss"]["value"] == pytest.approx(losses(z, case.bad).mean(), rel=1e-9)
        assert models[name]["recall_of_loss"]["value"] == pytest.approx(recall_of_loss(z, case.bad, case.loss))
        assert models[name]["calibration"]["predicted"] == pytest.approx(sigmoid(z).mean())
        assert models[name]["gini"] == pytest.approx(2 * found["auc"][name]["value"] - 1)
    for figure, interval in pair.items():
        expected = models["lightgbm"][figure]["value"] - models["champion"][figure]["value"]
        assert interval["value"] == pytest.approx(expected)
        assert interval["low"] < interval["value"] < interval["high"]


def test_weights_reach_every_rate() -> None:
    """Bad rows of weight 3 raise the base rate, as three rows each would."""
    bad = case_of().bad
    found = evaluate(case_of(weight=1 + 2 * bad))
    assert found["base_rate"] == pytest.approx(3 * bad.sum() / (3 * bad.sum() + (1 - bad).sum()))
    assert found["models"]["lightgbm"]["calibration"]["intercept"]["value"] == pytest.approx(np.log(3), abs=0.15)
    whole = [row["observed"] for kind in found["segments"].values() for row in kind if row["rows"] > 2000]
    assert np.mean(whole) == pytest.approx(found["base_rate"], abs=0.02)


def test_a_case_too_small_for_figures_has_nulls() -> None:
    """Without a bad row there is no AUC, no slope and no recall; and still an evaluation."""
    rows = 30
    found = evaluate(case_of(rows=rows, bad=np.zeros(rows), loss=np.zeros(rows)))
    assert found["auc"]["lightgbm"] == {"value": None, "low": None, "high": None}
    assert found["models"]["lightgbm"]["calibration"]["slope"]["value"] is None
    assert found["base_rate"] == 0
    canonical_json(found)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"loss": np.zeros(7)}, r"loss has shape \(7,\), not \(3000,\)"),
        ({"loss": np.ones(3000)}, "of a good row"),
        ({"weight": np.zeros(3000)}, "weight is not above 0"),
        ({"bad": np.full(3000, 2.0)}, "bad holds more than 0 and 1"),
        ({"features": ("one",)}, r"x has shape \(3000, 2\), not \(3000, 1\)"),
        ({"log_odds": {}}, "log_odds lacks lightgbm"),
        ({"champion_points": None}, "champion is given by its log_odds or its points alone"),
        ({"rankings": {"lightgbm": np.zeros(3000)}}, "in both log_odds and rankings"),
    ],
)
def test_a_case_that_does_not_hold_together_says_why(changed: dict[str, Any], text: str) -> None:
    """The field is named."""
    with pytest.raises(ValueError, match=text):
        case_of(**changed)
