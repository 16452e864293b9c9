"""The gates that a candidate must pass to become champion, each with its number and its limit.

A study's table `[gates]` may move limits within bounds and switch off advisory gates, never hard ones.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from training.gates import calibration
from training.gates import findings as figures
from training.gates.evidence import GateEvidence, GateFinding, Measured

HARD, ADVISORY = "hard", "advisory"


@dataclass(frozen=True, slots=True)
class Gate:
    name: str
    kind: str
    """HARD: must pass or be overridden before promotion; ADVISORY: must pass or be signed off by name."""
    limit: float
    least: float
    """Lowest limit of a study; equal to `most`: fixed."""
    most: float
    find: Callable[[GateEvidence], GateFinding]
    overridable: bool = True
    """A person may promote a model against it."""


GATES = (
    Gate("certificate", HARD, 0, 0, 0, figures.certificate, overridable=False),
    Gate("parity", HARD, 0, 0, 0, figures.parity, overridable=False),
    Gate("reproducible", HARD, 0, 0, 0, figures.reproducible),
    Gate("leakage", HARD, 0, 0, 0, figures.leakage),
    Gate("calibration_slope", HARD, 1.33, 1.05, 2, calibration.calibration_slope),
    Gate("calibration_level", HARD, 1.33, 1.05, 2, calibration.calibration_level),
    Gate("calibration_grades", HARD, 1.3, 1, 3, calibration.calibration_grades),
    Gate("segments_calibration", HARD, 1.2, 1, 3, calibration.segments_calibration),
    Gate("segments_ranking", HARD, 0.01, 0, 0.1, figures.segments_ranking),
    Gate("ranking", HARD, 0.03, 0, 0.1, figures.ranking),
    Gate("log_loss", HARD, 0.02, 0, 0.1, figures.log_loss),
    Gate("recall_of_loss", HARD, 0.1, 0, 0.25, figures.recall_of_loss),
    Gate("migration", ADVISORY, 0.05, 0, 1, figures.migration),
    Gate("psi", ADVISORY, 1, 0, 1_000_000, figures.psi),
    Gate("drift", ADVISORY, 0, 0, 0, figures.drift),
    Gate("data", ADVISORY, 0, 0, 0, figures.data),
)


@dataclass(frozen=True)
class Gates:
    """The table `[gates]` of a study."""

    limits: Mapping[str, float] = field(default_factory=lambda: {gate.name: gate.limit for gate in GATES})
    """By gate, without gates that are switched off."""
    segment_rows: int = 200
    """Least rows of a segment that is judged."""
    harm_to_good: float = 0.05
    """Share of good rows rejected when the recall of loss is read."""


def judge(gates: Gates, evaluation: Mapping[str, Any], measured: Measured) -> dict[str, Any]:
    """Return the verdict of every gate on a model as JSON: `gates`, a list, and `passed`: all hard gates are ok.

    `evaluation`: from `evaluate`. `gates`, without gates switched off: each with `gate`, `kind`, `ok`, `number`,
    `limit`, `needed`, `text` and `overridable`.

    Without a number (no champion, one month only) an advisory gate is ok and a hard gate is not. A gate with too few
    bad rows to decide is not ok and becomes advisory: a person signs, or waits for the number of rows in `needed`.
    """
    evidence = GateEvidence(evaluation, measured, gates.segment_rows)
    bad = int(evaluation["test"]["bad"])
    rows = [
        _judge_gate(gate, float(gates.limits[gate.name]), evidence, bad) for gate in GATES if gate.name in gates.limits
    ]
    return {"gates": rows, "passed": all(row["ok"] for row in rows if row["kind"] == HARD)}


def _judge_gate(gate: Gate, limit: float, evidence: GateEvidence, bad: int) -> dict[str, Any]:
    finding = gate.find(evidence)
    number = finding.number if finding.number is not None and math.isfinite(finding.number) else None
    verdict = finding.verdict(limit, bad)
    text, kind, ok = finding.text, gate.kind, verdict.ok
    if finding.passes:
        text += f" {finding.passes.format(limit=limit)}"
    if verdict.needed is not None:
        text += f" Not enough evidence: {bad:,} bad rows, about {verdict.needed:,} are needed; till then it is to be signed."
        kind, ok = ADVISORY, False
    return {
        "gate": gate.name,
        "kind": kind,
        "ok": gate.kind == ADVISORY if ok is None else ok,
        "number": number,
        "limit": limit,
        "needed": verdict.needed,
        "text": text,
        "overridable": gate.overridable,
    }
