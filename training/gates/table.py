"""The gates that a candidate must pass to become champion, each with its number and its limit."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from training.gates import calibration
from training.gates import findings as figures
from training.gates.evidence import GateEvidence, GateFinding, GateVerdict, Measurements

HARD, ADVISORY = "hard", "advisory"


@frozen
class Gate:
    name: str
    kind: str
    """HARD: must pass or be overridden before promotion; ADVISORY: must pass or be signed off by name."""
    find: Callable[[GateEvidence], GateFinding | tuple[GateFinding, ...]]
    """Several findings are each judged by the limit, and the worst decides."""
    limit: float = 0
    least: float = 0
    """Lowest limit of a study; equal to `most`: fixed."""
    most: float = 0
    overridable: bool = True
    """A person may promote a model against it."""


GATES = (
    Gate("certificate", HARD, figures.count_given_up_promises, overridable=False),
    Gate("parity", HARD, figures.count_parity_mismatches, overridable=False),
    Gate("reproducible", HARD, figures.count_other_digests),
    Gate("leakage", HARD, partial(figures.count_failed_checks, kind="leakage")),
    Gate("ranking", HARD, figures.find_lost_auc, 0.03, 0, 0.1),
    Gate("calibration", HARD, calibration.find_level_and_slope_ratios, 1.33, 1.05, 2),
    Gate("segments", HARD, calibration.find_segments_off, 1.33, 1.05, 3),
    Gate("migration", ADVISORY, figures.find_share_moved_far, 0.05, 0, 1),
    Gate("psi", ADVISORY, figures.find_psi_bound, 0.1, 0, 10),
    Gate("data", ADVISORY, partial(figures.count_failed_checks, kind="data")),
)


@dataclass(frozen=True)
class Gates:
    limits: Mapping[str, float] = field(default_factory=lambda: {gate.name: gate.limit for gate in GATES})
    """By gate, without gates that are switched off."""
    segment_rows: int = 200
    """Least rows of a segment that is judged."""


def judge(gates: Gates, evaluation: JsonObject, measured: Measurements) -> JsonObject:
    """Return the verdict of every gate on a model as JSON: `gates`, a list, and `passed`: all hard gates are ok.

    `evaluation`: from `evaluate`. Without a number (no champion, one month only) an advisory gate is ok and a hard gate
    is not. An undecided gate is not ok and becomes advisory: a person signs, or waits for the number of bad rows in
    `needed`.
    """
    evidence = GateEvidence(evaluation, measured, gates.segment_rows)
    bad = int(evaluation["test"]["bad"])
    rows = [
        _judge_gate(gate, float(gates.limits[gate.name]), evidence, bad) for gate in GATES if gate.name in gates.limits
    ]
    return {"gates": rows, "passed": all(row["ok"] for row in rows if row["kind"] == HARD)}


def _judge_gate(gate: Gate, limit: float, evidence: GateEvidence, bad: int) -> JsonObject:
    findings = gate.find(evidence)
    findings = findings if isinstance(findings, tuple) else (findings,)
    parts = [(finding, finding.verdict(limit, bad)) for finding in findings]
    finding, verdict = min(parts, key=lambda part: (part[1].rank, -(part[0].number or 0.0)))
    number = finding.number if finding.number is not None and math.isfinite(finding.number) else None
    is_signed = verdict.signed or gate.kind == ADVISORY
    return {
        "gate": gate.name,
        "kind": ADVISORY if is_signed else HARD,
        "ok": bool(verdict.ok) if verdict.ok is not None or verdict.signed else gate.kind == ADVISORY,
        "number": number,
        "limit": limit,
        "needed": verdict.needed,
        "text": " ".join(_spell_finding(*part, limit, bad) for part in parts),
        "overridable": gate.overridable,
    }


def _spell_finding(finding: GateFinding, verdict: GateVerdict, limit: float, bad: int) -> str:
    passes = finding.passes.format(limit=limit) if finding.passes else ""
    undecided = ""
    if verdict.needed is not None:
        undecided = (
            f"Not enough evidence: {bad:,} bad rows, about {verdict.needed:,} are needed; till then it is to be signed."
        )
    remedy = "" if verdict.ok else finding.remedy
    return " ".join(text for text in (finding.text, passes, undecided, remedy) if text)
