import json
from typing import Any

import numpy as np
import pytest

from scoring.base.canonical import canonical_json
from tests.helpers.evaluation_cases import case_of
from training.evaluation.arrays import plain, sigmoid
from training.evaluation.figures import evaluate
from training.evaluation.probability import losses
from training.evaluation.ranking import Ranking


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return evaluate(case_of())


@pytest.mark.long
def test_an_evaluation_is_json_and_the_same_twice(found: dict[str, Any]) -> None:
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
    models = ["lightgbm", "unconstrained", "logistic", "points_rule", "raw_count", "champion"]
    assert list(found["curves"]["roc"]) == list(found["curves"]["precision"]) == models
    models[5:5] = ["window_volume", "past_volume"]
    assert list(found["auc"]) == list(found["models"]) == list(found["equal_volume"]["auc"]) == models
    assert len(found["difference"]) == 28
    assert list(found["equal_volume"]["difference"]) == [f"lightgbm-{name}" for name in models[1:]]
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
    calibration = found["models"]["lightgbm"]["calibration"]
    for name, truth in (("slope", 1.0), ("intercept", 0.0)):
        assert calibration[name]["low"] < truth < calibration[name]["high"]
    assert found["difference"]["lightgbm-logistic"]["low"] > 0
    assert found["paired"]["lightgbm-champion"]["log_loss"]["high"] < 0
    inside = [row["low"] <= row["predicted"] <= row["high"] for row in found["reliability"]]
    assert sum(inside) >= 8
    assert found["psi"]["score"]["value"] < 2 * found["psi"]["score"]["critical"]


def test_paired_figures_are_differences_of_the_models(found: dict[str, Any]) -> None:
    case, models, pair = case_of(), found["models"], found["paired"]["lightgbm-champion"]
    for name in ("lightgbm", "champion"):
        z = case.log_odds[name]
        assert models[name]["log_loss"]["value"] == pytest.approx(losses(z, case.bad).mean(), rel=1e-9)
        assert models[name]["recall_of_loss"]["value"] == pytest.approx(
            Ranking.of(z, case.bad).figures(case.weight, case.loss)[1]
        )
        assert models[name]["calibration"]["predicted"] == pytest.approx(sigmoid(z).mean())
    for figure, interval in pair.items():
        expected = models["lightgbm"][figure]["value"] - models["champion"][figure]["value"]
        assert interval["value"] == pytest.approx(expected)
        assert interval["low"] < interval["value"] < interval["high"]


def test_what_a_row_will_sell_moves_no_ranking_figure(found: dict[str, Any]) -> None:
    case = case_of()
    own = np.random.default_rng(5).normal(0, 1, len(case.bad))
    moved = evaluate(case_of(log_odds={name: z + own for name, z in case.served.items()}, served=case.served))
    for place in ("auc", "difference", "equal_volume", "curves", "migration", "swap"):
        assert moved[place] == found[place]
    for name, figures in found["models"].items():
        assert moved["models"][name]["recall_of_loss"] == figures["recall_of_loss"]
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
    found = evaluate(case_of(rows=rows, bad=np.zeros(rows), loss=np.zeros(rows)))
    assert found["auc"]["lightgbm"] == {"value": None, "low": None, "high": None}
    assert found["models"]["lightgbm"]["calibration"]["slope"]["value"] is None
    assert found["base_rate"] == 0
    canonical_json(found)
