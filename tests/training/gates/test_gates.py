"""Gates: a good candidate passes, each bad one is stopped, and a study cannot remove a hard gate."""

import json
import math
import tomllib
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scoring.base.canonical import canonical_json
from scoring.base.errors import ConfigurationWrong, GatesFailed
from service.registry.gates import allow
from service.registry.gates import gates_of as registered
from tests.helpers.evaluation_cases import case_of
from tests.training.gates.judging import MEASURED, evaluate, failing, gates_of, judged, shifted
from training.gates.evidence import GateFinding, Verdict
from training.gates.table import ADVISORY, GATES, Gates, judge


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    return evaluate(case_of())


@pytest.mark.parametrize(
    ("check", "gate", "passes"),
    [("rebuilt", "leakage", False), ("adversarial", "drift", True), ("future_dates", "data", True)],
)
def test_a_leak_stops_a_model_and_drift_is_to_be_signed_off(
    good: dict[str, Any], check: str, gate: str, passes: bool
) -> None:
    evaluation = deepcopy(good)
    for row in (*evaluation["checks"]["data"], *evaluation["checks"]["leakage"]):
        row["ok"] = row["check"] != check
    assert failing(evaluation) == [gate]
    assert judged(evaluation)["passed"] is passes
    assert failing(good | {"checks": {}}) == ["leakage"]


def test_a_model_that_knows_the_truth_passes_every_gate(good: dict[str, Any]) -> None:
    found = judge(Gates(), good, MEASURED)
    assert [row["gate"] for row in found["gates"]] == [gate.name for gate in GATES]
    assert failing(good) == []
    assert found["passed"]
    for row in found["gates"]:
        assert set(row) == {"gate", "kind", "ok", "number", "limit", "needed", "text", "overridable"}
        assert row["number"] <= row["limit"]
        assert row["text"].endswith(".")
    canonical_json(found)
    alone = evaluate(case_of(champion=False))
    assert failing(alone) == []
    rows = judged(alone)
    assert "logistic regression" in rows["log_loss"]["text"]
    assert rows["migration"]["number"] is None
    assert "the champion" in judged(good)["log_loss"]["text"]


def test_only_certificate_and_parity_cannot_be_overridden() -> None:
    assert [gate.name for gate in GATES if not gate.overridable] == ["certificate", "parity"]
    assert [gate.name for gate in GATES if gate.kind == ADVISORY] == ["migration", "psi", "drift", "data"]


@pytest.mark.parametrize(
    ("changed", "gate", "text"),
    [
        ({"parity_mismatches": 1}, "parity", "1 of 200 rows"),
        ({"parity_rows": 0}, "parity", "No row was compared"),
        ({"parity_mismatches": None}, "parity", "No row was compared"),
        ({"digests": ("a1", "b2")}, "reproducible", "1 with another digest"),
        ({"digests": ("a1",)}, "reproducible", "not trained twice"),
    ],
)
def test_what_is_measured_badly_or_not_at_all_stops_the_model(
    good: dict[str, Any], changed: dict[str, Any], gate: str, text: str
) -> None:
    found = judged(good, replace(MEASURED, **changed))
    assert [name for name, row in found.items() if name != "passed" and not row["ok"]] == [gate]
    assert text in found[gate]["text"]
    assert not found["passed"]


def test_a_model_worse_than_the_champion_is_stopped() -> None:
    noise = np.random.default_rng(8).normal(0, 2, 3000)
    worse = shifted(lightgbm=lambda z, _: -2.5 + (z + noise + 2.5) * 0.2)
    assert {"ranking", "log_loss", "segments_ranking"} <= set(failing(worse))
    assert not judged(worse)["passed"]


@pytest.mark.long
def test_no_gate_goes_by_a_champion_of_another_label(good: dict[str, Any]) -> None:
    other = deepcopy(good) | {"champion": {"digest": "ab", "other_label": ["window: 60 days, here 90 days"]}}
    found = judged(other)
    for gate in ("ranking", "log_loss", "recall_of_loss"):
        assert "logistic regression" in found[gate]["text"]
        assert "the champion" not in found[gate]["text"]
    assert "than by chance" in found["segments_ranking"]["text"]
    off = judged(shifted(lightgbm=lambda z, _: z - 0.7, champion=lambda z, _: z - 3))
    assert off["segments_calibration"]["ok"]
    worse = shifted(lightgbm=lambda z, _: z - 0.7, champion=lambda z, _: z - 3)
    assert not judged(worse | {"champion": other["champion"]})["segments_calibration"]["ok"]
    same = judged(good | {"champion": {"digest": "ab", "other_label": []}})
    assert "the champion" in same["log_loss"]["text"]


def test_what_a_model_loses_is_the_estimate_of_the_same_rows(good: dict[str, Any]) -> None:
    found, paired = judged(good), good["paired"]["lightgbm-champion"]
    base = good["models"]["champion"]["log_loss"]["value"]
    assert found["log_loss"]["number"] == pytest.approx(paired["log_loss"]["value"] / base)
    assert found["recall_of_loss"]["number"] == pytest.approx(-paired["recall_of_loss"]["value"])
    assert found["ranking"]["number"] == pytest.approx(-good["difference"]["lightgbm-champion"]["value"])


def test_few_bad_rows_ask_for_more_of_them_and_for_a_signature() -> None:
    """Thirty bad rows: no gate stops the model, and each undecided gate states the rows that it needs."""
    few = evaluate(case_of(rows=280, seed=6))
    assert few["test"]["bad"] < 40
    found = judge(Gates(), few, MEASURED)
    asked = [row for row in found["gates"] if row["needed"] is not None]
    assert [row["gate"] for row in asked] == [
        "calibration_slope", "calibration_level", "ranking", "log_loss", "recall_of_loss",
    ]  # fmt: skip
    for row in asked:
        assert (row["kind"], row["ok"]) == (ADVISORY, False)
        assert row["needed"] > few["test"]["bad"]
        assert f"Not enough evidence: {few['test']['bad']} bad rows, about {row['needed']:,} are needed" in row["text"]
    assert found["passed"]
    gates = registered(json.dumps(found).encode())
    with pytest.raises(GatesFailed, match="must be signed off by name"):
        allow(gates, "", "")
    assert allow(gates, "", "A. Lead")["sign_off"] == "A. Lead"


@pytest.mark.parametrize(
    ("number", "spread", "limit", "ok", "needed"),
    [
        (0.01, 0.06, 0.03, None, 200),  # open: 50 x (0.06 / 0.03)^2
        (0.1, 0.06, 0.03, False, None),
        (0.08, 0.06, 0.03, None, 200),
        (-0.05, 0.06, 0.03, True, None),
        (0.02, 0.02, 0.03, True, None),
        (0.04, 0.02, 0.03, False, None),
        (0.04, None, 0.03, False, None),
        (0.01, 0.06, 0.0, False, None),
        (None, None, 0.03, None, None),
        (0.01, math.inf, 0.03, None, None),
    ],
)
def test_a_verdict_is_worked(
    number: float | None, spread: float | None, limit: float, ok: bool | None, needed: int | None
) -> None:
    assert GateFinding(number, "", spread).verdict(limit, 50) == Verdict(ok, needed)
    if number is not None and spread is not None and limit:
        assert GateFinding(math.exp(number), "", spread, is_ratio=True).verdict(math.exp(limit), 50) == Verdict(
            ok, needed
        )


def test_one_group_alone_is_no_segment(good: dict[str, Any]) -> None:
    wrong = deepcopy(good)
    wrong["segments"] = {"country": [{**good["segments"]["country"][0], "predicted": 0.9}]}
    assert judged(wrong)["segments_calibration"]["ok"]
    wrong["segments"]["country"] += good["segments"]["country"][1:]
    assert not judged(wrong)["segments_calibration"]["ok"]


def test_a_model_that_ranks_by_chance_is_stopped(good: dict[str, Any]) -> None:
    chance = good | {"auc": good["auc"] | {"lightgbm": {"value": 0.53, "low": 0.49, "high": 0.57}}}
    found = judged(chance)["ranking"]
    assert not found["ok"]
    assert found["number"] is None
    assert "not proven to rank better than chance" in found["text"]


def test_advisory_gates_never_stop_a_model(good: dict[str, Any]) -> None:
    worse = deepcopy(good)
    worse["migration"]["within_one"] = 0.5
    worse["psi"]["score"] = {"value": 1.0, "critical": 0.1}
    found = judged(worse)
    assert failing(worse) == ["migration", "psi"]
    assert found["passed"]
    assert found["psi"]["number"] == pytest.approx(10)


@pytest.mark.parametrize(
    ("value", "critical", "number"), [(0.08, 0.01, 0.8), (0.12, 0.01, 1.2), (0.12, 0.2, 0.6), (0.3, 0.2, 1.5)]
)
def test_psi_needs_significance_and_an_effect(
    good: dict[str, Any], value: float, critical: float, number: float
) -> None:
    """A proven small shift passes, and so does an unproven large shift."""
    found = judged(good | {"psi": good["psi"] | {"score": {"value": value, "critical": critical}}})["psi"]
    assert found["number"] == pytest.approx(number)
    assert found["ok"] is (number <= 1)


def test_a_study_moves_limits_and_switches_advisory_gates_off(good: dict[str, Any]) -> None:
    table = tomllib.loads("log_loss = 0.005\nmigration = 0.01\npsi = false\nsegment_rows = 300\nharm_to_good = 0.1")
    gates = gates_of(table)
    assert (gates.limits["log_loss"], gates.segment_rows, gates.harm_to_good) == (0.005, 300, 0.1)
    assert gates.limits["calibration_slope"] == Gates().limits["calibration_slope"]
    found = judged(good, gates=gates)
    assert "psi" not in found
    assert not found["migration"]["ok"]
    assert found["migration"]["limit"] == 0.01
    assert gates_of({}) == Gates()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"log_los": 0.1}, r"gates\.log_los is not a part of a study; did you mean log_loss\?"),
        ({"log_loss": False}, r"gates\.log_loss is hard and cannot be switched off"),
        ({"parity": False}, r"gates\.parity is hard and cannot be switched off"),
        ({"parity": 3}, r"gates\.parity must be left out, or a number, 0 to 0, not 3"),
        ({"log_loss": 5}, r"gates\.log_loss must be left out, or a number, .*, not 5"),
        ({"calibration_slope": 1}, r"gates\.calibration_slope must be left out, or a number, 1\.05 to 2, not 1"),
        ({"log_loss": float("nan")}, r"gates\.log_loss must be left out, or a number, .*, not nan"),
        ({"log_loss": True}, r"gates\.log_loss must be left out, or a number, .*, not true"),
        ({"segment_rows": 99.5}, r"gates\.segment_rows must be a whole number, 50 to 5,000, not 99\.5"),
        ({"harm_to_good": 0}, r"gates\.harm_to_good must be left out, or a number, 0\.001 to 0\.5, not 0"),
        ({"psi": True, "ranking": []}, r"gates\.ranking must be .*, not a list; gates\.psi must be"),
    ],
)
def test_a_wrong_table_names_the_field(table: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationWrong, match=text):
        gates_of(table)
