from copy import deepcopy
from dataclasses import replace
from typing import Any

from scoring.base.canonical import JsonObject
from scoring.base.errors import ConfigurationWrong
from scoring.base.parts import Part
from tests.helpers.evaluation_cases import case_of, points_of
from training.evaluation.case import EvaluationCase
from training.evaluation.figures import evaluate as figures_of
from training.gates.evidence import Measurements
from training.gates.table import Gates, judge
from training.study.loading import read_gates

MEASURED = Measurements(
    parity_rows=200,
    parity_mismatches=0,
    digests=("a1", "a1"),
)

CHECKS = {
    "data": [{"check": "report_before_occur", "ok": True, "number": 0, "text": "nothing was reported early"}],
    "leakage": [
        {"check": "rebuilt", "ok": True, "number": 0, "text": "every feature is the same"},
        {"check": "single_feature", "ok": True, "number": 0.7, "text": "no feature tells it alone"},
    ],
}


def gates_of(table: JsonObject) -> Gates:
    part = Part(table, "gates", whole="a study")
    gates = read_gates(part)
    part.refuse_what_is_left()
    if part.errors:
        raise ConfigurationWrong("; ".join(part.errors))
    return gates


def evaluate(case: EvaluationCase) -> JsonObject:
    return figures_of(case) | {"checks": deepcopy(CHECKS), "today": today(0.05, 0.02)}


def today(every: float, alike: float) -> JsonObject:
    found = {name: {"value": v, "low": v - 0.05, "high": v + 0.05} for name, v in (("all", every), ("alike", alike))}
    return {"rows": 900, "psi": found}


def judged(evaluation: JsonObject, measured: Measurements = MEASURED, gates: Gates | None = None) -> JsonObject:
    found = judge(gates or Gates(), evaluation, measured)
    return {row["gate"]: row for row in found["gates"]} | {"passed": found["passed"]}


def failing(evaluation: JsonObject, measured: Measurements = MEASURED, gates: Gates | None = None) -> list[str]:
    return [gate for gate, row in judged(evaluation, measured, gates).items() if gate != "passed" and not row["ok"]]


def shifted(case: EvaluationCase | None = None, **log_odds_by: Any) -> JsonObject:
    case = case or case_of()
    changed = {name: change(case.log_odds[name], case) for name, change in log_odds_by.items()}
    log_odds = {**case.log_odds, **changed}
    points = {"points": "lightgbm", "champion_points": "champion"}
    given = {name: points_of(log_odds[model]) for name, model in points.items()}
    return evaluate(replace(case, log_odds=log_odds, served=log_odds, **given))
