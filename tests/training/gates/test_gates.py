import json
import math
import tomllib
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from scoring.base.canonical import JsonObject, canonical_json
from scoring.base.errors import ConfigurationWrong, GatesFailed
from service.registry.gates import GateOverride, require_allowed
from service.registry.gates import parse_gates as registered
from tests.helpers.evaluation_cases import case_of
from tests.training.gates.judging import MEASURED, evaluate, failing, gates_of, judged, shifted, today
from training.gates.evidence import GateFinding, GateVerdict
from training.gates.table import ADVISORY, GATES, Gates, judge


@pytest.fixture(scope="module")
def good() -> JsonObject:
    return evaluate(case_of())


@pytest.mark.parametrize(
    ("check", "gate", "signed", "passes"),
    [
        ("rebuilt", "leakage", False, False),
        ("rebuilt", "leakage", True, True),
        ("report_before_occur", "data", False, True),
    ],
)
def test_a_leak_stops_a_model_and_a_doubt_is_to_be_signed_off(
    good: JsonObject, check: str, gate: str, signed: bool, passes: bool
) -> None:
    evaluation = deepcopy(good)
    for row in (*evaluation["checks"]["data"], *evaluation["checks"]["leakage"]):
        row |= {"ok": row["check"] != check, "signed": signed}
    assert failing(evaluation) == [gate]
    assert judged(evaluation)["passed"] is passes
    assert failing(good | {"checks": {}}) == ["leakage"]


def test_a_model_that_knows_the_truth_passes_every_gate(good: JsonObject) -> None:
    found = judge(Gates(), good, MEASURED)
    assert [row["gate"] for row in found["gates"]] == [gate.name for gate in GATES]
    assert failing(good) == []
    assert found["passed"]
    for row in found["gates"]:
        assert set(row) == {"gate", "kind", "ok", "number", "limit", "needed", "text", "overridable"}
        assert row["number"] <= row["limit"]
        assert row["text"].endswith(".")
    assert judged(good)["leakage"]["text"] == "All 2 leakage checks hold."
    canonical_json(found)
    alone = evaluate(case_of(champion=False))
    assert failing(alone) == []
    rows = judged(alone)
    assert "logistic regression" in rows["ranking"]["text"]
    assert rows["migration"]["number"] is None
    assert "the champion" in judged(good)["ranking"]["text"]


def test_only_certificate_and_parity_cannot_be_overridden() -> None:
    assert [gate.name for gate in GATES if not gate.overridable] == ["certificate", "parity"]
    assert [gate.name for gate in GATES if gate.kind == ADVISORY] == ["migration", "psi", "data"]


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
    good: JsonObject, changed: JsonObject, gate: str, text: str
) -> None:
    found = judged(good, replace(MEASURED, **changed))
    assert [name for name, row in found.items() if name != "passed" and not row["ok"]] == [gate]
    assert text in found[gate]["text"]
    assert not found["passed"]


def test_a_model_worse_than_the_champion_is_stopped() -> None:
    noise = np.random.default_rng(8).normal(0, 2, 3000)
    worse = shifted(lightgbm=lambda z, _: -2.5 + (z + noise + 2.5) * 0.2)
    found = judged(worse)["ranking"]
    assert not found["ok"]
    assert "Worse than by the champion beyond chance: " in found["text"]
    assert not judged(worse)["passed"]


@pytest.mark.long
def test_no_gate_goes_by_a_champion_of_another_label(good: JsonObject) -> None:
    other = deepcopy(good) | {"champion": {"digest": "ab", "other_label": ["window: 60 days, here 90 days"]}}
    found = judged(other)
    assert "logistic regression" in found["ranking"]["text"]
    assert "the champion" not in found["ranking"]["text"]
    off = judged(shifted(lightgbm=lambda z, _: z - 0.7, champion=lambda z, _: z - 3))
    assert "file thin" not in off["segments"]["text"]
    worse = shifted(lightgbm=lambda z, _: z - 0.7, champion=lambda z, _: z - 3)
    assert "file thin" in judged(worse | {"champion": other["champion"]})["segments"]["text"]
    same = judged(good | {"champion": {"digest": "ab", "other_label": []}})
    assert "the champion" in same["ranking"]["text"]


def test_what_a_model_loses_is_the_estimate_of_the_judged_pairs(good: JsonObject) -> None:
    found, paired = judged(good)["ranking"], good["equal_volume"]["difference"]["lightgbm-champion"]
    assert found["number"] == pytest.approx(-paired["value"])
    assert f"Over {good['judged']['pairs']:,.0f} pairs at equal volume" in found["text"]
    every = evaluate(case_of(at_equal_volume=False))
    again = judged(every)["ranking"]
    assert again["number"] == pytest.approx(-every["difference"]["lightgbm-champion"]["value"])
    assert "pairs of one day the AUC" in again["text"]


def test_a_model_behind_at_equal_volume_fails_though_it_leads(good: JsonObject) -> None:
    behind = {"value": -0.096, "low": -0.12, "high": -0.07}
    worse, other = deepcopy(good), deepcopy(good)
    worse["judged"]["difference"]["lightgbm-champion"] = behind
    assert failing(worse) == ["ranking"]
    other["difference"]["lightgbm-champion"] = behind
    assert failing(other) == []


@pytest.mark.parametrize(("pairs", "bad"), [(999.0, 400), (90_000.0, 39)])
def test_too_few_pairs_are_not_judged_but_signed(good: JsonObject, pairs: float, bad: int) -> None:
    few = deepcopy(good)
    few["judged"] |= {"pairs": pairs, "bad": bad}
    found = judged(few)
    assert failing(few) == ["ranking"]
    assert (found["ranking"]["kind"], found["passed"]) == (ADVISORY, True)
    assert found["ranking"]["text"].startswith(f"Not judged: {pairs:,.0f} pairs")


def test_few_bad_rows_ask_for_more_of_them_and_for_a_signature() -> None:
    few = shifted(case_of(rows=700, seed=6), lightgbm=lambda z, _: 1.3 * z + 0.6)
    assert few["test"]["bad"] < 90
    found = judge(Gates(), few, MEASURED)
    asked = [row for row in found["gates"] if row["needed"] is not None]
    row = asked[0]
    assert row["gate"] == "calibration"
    assert (row["kind"], row["ok"]) == (ADVISORY, False)
    assert row["needed"] > few["test"]["bad"]
    assert f"Not enough evidence: {few['test']['bad']} bad rows, about {row['needed']:,} are needed" in row["text"]
    assert row["text"].endswith("or fewer model.rounds.")
    assert found["passed"]
    gates = registered(json.dumps(found).encode())
    with pytest.raises(GatesFailed, match="must be signed off by name"):
        require_allowed(gates)
    assert require_allowed(gates, GateOverride("", "A. Lead"))["sign_off"] == "A. Lead"


@pytest.mark.parametrize(
    ("number", "spread", "limit", "ok", "needed"),
    [
        (0.02, 0.03, 0.03, None, 72),  # open from 0.015 to 0.0525: 50 x (0.03 / 0.025)^2
        (0.01, 0.03, 0.03, True, None),
        (0.06, 0.03, 0.03, False, None),
        (0.1, 0.06, 0.03, False, None),
        (0.01, 0.06, 0.03, None, 147),
        (-0.05, 0.6, 0.03, True, None),  # ahead of its reference
        (0.0, math.inf, 0.03, True, None),
        (0.029, 0.01, 0.03, True, None),
        (0.031, 0.01, 0.03, None, 70),
        (0.035, 0.01, 0.03, False, None),
        (0.04, None, 0.03, False, None),
        (1, None, 0.0, False, None),
        (0.01, 0.06, 0.0, None, 1800),
    ],
)
def test_a_verdict_is_worked(
    number: float, spread: float | None, limit: float, ok: bool | None, needed: int | None
) -> None:
    said = GateVerdict(ok, ok is None, needed)
    assert GateFinding(number, "", spread).verdict(limit, 50) == said
    if spread is not None and limit:
        assert GateFinding(math.exp(number), "", spread, is_ratio=True).verdict(math.exp(limit), 50) == said
    assert GateFinding(number, "", spread, by_person=True).verdict(limit, 50).ok is (ok or None)


def test_without_a_number_a_gate_fails_or_a_person_signs() -> None:
    assert GateFinding(None, "").verdict(1, 50) == GateVerdict(None)
    assert GateFinding(None, "", by_person=True).verdict(1, 50) == GateVerdict(None, signed=True)
    assert GateFinding(0.01, "", math.inf).verdict(0.03, 50) == GateVerdict(None, signed=True)


def test_one_group_alone_is_no_segment(good: JsonObject) -> None:
    wrong = deepcopy(good)
    wrong["segments"] = {"country": [{**good["segments"]["country"][0], "predicted": 0.9}]}
    assert judged(wrong)["segments"]["ok"]
    wrong["segments"]["country"] += good["segments"]["country"][1:]
    assert not judged(wrong)["segments"]["ok"]


@pytest.mark.parametrize(("value", "passes"), [(0.49, False), (0.53, True)])
def test_a_model_that_may_rank_by_chance_is_stopped_or_signed(good: JsonObject, value: float, passes: bool) -> None:
    chance = deepcopy(good)
    chance["judged"]["auc"]["lightgbm"] = {"value": value, "low": value - 0.04, "high": value + 0.04}
    found = judged(chance)
    assert failing(chance) == ["ranking"]
    assert found["ranking"]["number"] is None
    assert "not proven to rank better than chance" in found["ranking"]["text"]
    assert found["passed"] is passes


def test_advisory_gates_never_stop_a_model(good: JsonObject) -> None:
    worse = deepcopy(good)
    worse["migration"]["within_one"] = 0.5
    worse["today"] = today(1.0, 1.0)
    found = judged(worse)
    assert failing(worse) == ["migration", "psi"]
    assert found["passed"]
    assert found["psi"]["number"] == pytest.approx(0.95)


@pytest.mark.parametrize(("every", "alike", "ok"), [(0.14, 0.14, True), (0.3, 0.1, True), (0.3, 0.16, False)])
def test_psi_asks_for_a_proven_shift_at_equal_tenure(good: JsonObject, every: float, alike: float, ok: bool) -> None:
    found = judged(good | {"today": today(every, alike)})["psi"]
    assert (found["ok"], found["kind"]) == (ok, ADVISORY)
    assert ("train again when their outcomes are known" in found["text"]) is not ok
    assert judged(good)["psi"]["ok"]


def test_a_study_moves_limits_and_switches_advisory_gates_off(good: JsonObject) -> None:
    table = tomllib.loads("ranking = 0.005\nmigration = 0.01\npsi = false\nsegment_rows = 300")
    gates = gates_of(table)
    assert (gates.limits["ranking"], gates.segment_rows) == (0.005, 300)
    assert gates.limits["calibration"] == Gates().limits["calibration"]
    found = judged(good, gates=gates)
    assert "psi" not in found
    assert not found["migration"]["ok"]
    assert found["migration"]["limit"] == 0.01
    assert gates_of({}) == Gates()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"rankin": 0.1}, r"gates\.rankin is not a part of a study; did you mean ranking\?"),
        ({"ranking": False}, r"gates\.ranking is hard and cannot be switched off"),
        ({"parity": False}, r"gates\.parity is hard and cannot be switched off"),
        ({"parity": 3}, r"gates\.parity must be left out, or a number, 0 to 0, not 3"),
        ({"ranking": 5}, r"gates\.ranking must be left out, or a number, .*, not 5"),
        ({"calibration": 1}, r"gates\.calibration must be left out, or a number, 1\.05 to 2, not 1"),
        ({"ranking": float("nan")}, r"gates\.ranking must be left out, or a number, .*, not nan"),
        ({"ranking": True}, r"gates\.ranking must be left out, or a number, .*, not true"),
        ({"segment_rows": 99.5}, r"gates\.segment_rows must be a whole number, 50 to 5,000, not 99\.5"),
        ({"psi": True, "ranking": []}, r"gates\.ranking must be .*, not a list; gates\.psi must be"),
        ({"log_loss": 0.01}, r"gates\.log_loss is not a part of a study"),
    ],
)
def test_a_wrong_table_names_the_field(table: JsonObject, text: str) -> None:
    with pytest.raises(ConfigurationWrong, match=text):
        gates_of(table)
