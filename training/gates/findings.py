"""Findings of the gates: one number that must not be large, and a sentence about it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr

from scoring.model.promises import PROMISES
from training.evaluation.arrays import ERRORS_95
from training.evaluation.case import CANDIDATE, CHAMPION
from training.evaluation.jeffreys import holm
from training.gates.evidence import ALPHA, GateEvidence, GateFinding, half_width, interval_text, segments


def certificate(evidence: GateEvidence) -> GateFinding:
    """Count the promises that the study gives up. A model that breaks its certificate is refused before it is judged."""
    lost = evidence.evaluation.get("certificate", {}).get("promises", {}).get("given_up", [])
    if lost:
        given_up = "; and that ".join(promise.text for promise in PROMISES if promise.name in lost)
        return GateFinding(
            len(lost),
            f"The study gives up the promise that {given_up}: this may be a challenger or a shadow, and is never champion.",
        )
    return GateFinding(0, "Every table is monotone in every constrained feature.")


def parity(evidence: GateEvidence) -> GateFinding:
    """Count the rows whose features, as served, differ from the trained ones, if measured."""
    rows, differing = evidence.measured.parity_rows, evidence.measured.parity_mismatches
    if differing is None or rows <= 0:
        return GateFinding(None, "No row was compared: features read as a server reads them.")
    return GateFinding(
        differing, f"{differing:,} of {rows:,} rows differ in a bit: features read as a server reads them."
    )


def leakage(evidence: GateEvidence) -> GateFinding:
    """Count the failed leakage checks. Drift has a gate of its own."""
    return _count_failed_checks(evidence, "leakage", lambda name: name != DRIFT)


def drift(evidence: GateEvidence) -> GateFinding:
    """Return 1 if the recorded drift check fails, 0 if it passes."""
    return _count_failed_checks(evidence, "leakage", lambda name: name == DRIFT)


def data(evidence: GateEvidence) -> GateFinding:
    return _count_failed_checks(evidence, "data", bool)


PSI_EFFECT = 0.1
"""The least stability index of the points that needs a signature, as `psi` of a study's `[monitor]`."""

DRIFT = "adversarial"


def _count_failed_checks(evidence: GateEvidence, kind: str, concerns: Callable[[str], bool]) -> GateFinding:
    rows = [row for row in evidence.evaluation.get("checks", {}).get(kind, []) if concerns(row["check"])]
    if not rows:
        return GateFinding(None, f"No {kind} check was made.")
    wrong = [row["text"] for row in rows if not row["ok"]]
    if not wrong:
        return GateFinding(
            0, f"All {len(rows)} {kind} checks hold." if len(rows) > 1 else f"It holds: {rows[0]['text']}."
        )
    if len(rows) == 1:
        return GateFinding(1, f"It does not hold: {wrong[0]}.")
    return GateFinding(len(wrong), f"{len(wrong)} of {len(rows)} {kind} checks do not hold: {'; '.join(wrong)}.")


def reproducible(evidence: GateEvidence) -> GateFinding:
    """Count the digests of repeated trainings beyond the first; no number if trained once."""
    digests = evidence.measured.digests
    if len(digests) < 2:
        return GateFinding(None, "The model was not trained twice, so nobody knows whether it comes out the same.")
    others = len(set(digests)) - 1
    digest_text = f"{others} with another digest" if others else "all with the same digest"
    return GateFinding(others, f"Trained {len(digests)} times, {digest_text}.")


def segments_ranking(evidence: GateEvidence) -> GateFinding:
    """Find the most AUC that any segment is proven to lose against the champion; 0 if none is.

    Without a champion, against chance (0.5). Proven: one-sided by the cluster bootstrap's standard error, after Holm
    over all segments with enough rows.
    """
    asked = []
    for kind, row in segments(evidence):
        paired = row["auc_difference"] if evidence.has_champion else None
        figure, base = (row["auc"], 0.5) if paired is None else (paired, 0.0)
        if row["rows"] >= evidence.segment_rows and figure is not None and figure["value"] is not None:
            asked.append((base - figure["value"], _p_below(figure, base), kind, row))
    adjusted = holm(np.array([p for _, p, _, _ in asked], dtype=np.float64)).tolist()
    lost = [(loss, kind, row) for (loss, _, kind, row), p in zip(asked, adjusted, strict=True) if p < ALPHA]
    against = "the champion" if evidence.has_champion else "chance"
    if not lost:
        return GateFinding(
            0.0, f"No segment of {len(asked)} with enough rows is ranked worse than by {against} beyond chance."
        )
    number, kind, row = max(lost, key=lambda found: found[0])
    return GateFinding(
        number,
        f"{len(lost)} of {len(asked)} segments with enough rows are ranked worse than by {against} beyond chance; the"
        f" worst is {kind} {row['name']}, with an AUC of {row['auc']['value']:.3f}, {number:.3f} less.",
        passes="A loss of up to {limit:g} passes.",
    )


def _p_below(figure: Mapping[str, Any], base: float) -> float:
    """Return the one-sided p-value for a figure of at least `base`; 1 if it has no interval."""
    if figure["low"] is None or figure["high"] is None:
        return 1.0
    error = (figure["high"] - figure["low"]) / (2 * ERRORS_95)
    return float(ndtr((figure["value"] - base) / error)) if error > 0 else float(figure["value"] >= base)


def ranking(evidence: GateEvidence) -> GateFinding:
    """Find the AUC lost against the champion or, without one, logistic regression.

    It has a number only if the model is proven to rank better than chance.
    """
    own = evidence.evaluation["auc"][CANDIDATE]
    if own["value"] is None or own["low"] is None or own["low"] <= 0.5:
        return GateFinding(None, "The model is not proven to rank better than chance.")
    other = evidence.reference
    return _find_loss(
        f"The AUC is {own['value']:.3f},", evidence.evaluation["difference"][f"{CANDIDATE}-{other}"], other
    )


def log_loss(evidence: GateEvidence) -> GateFinding:
    """Find the excess log-loss as a share of the champion's or, without one, logistic regression's."""
    other = evidence.reference
    paired = evidence.evaluation["paired"][f"{CANDIDATE}-{other}"]["log_loss"]
    base = evidence.evaluation["models"][other]["log_loss"]["value"]
    number = paired["value"] / base
    return GateFinding(
        number,
        f"The log-loss is {abs(number):.2%} {'above' if number > 0 else 'below'} {_name_model(other)}'s:"
        f" difference {paired['value']:+.5f}{interval_text(paired, 5)}.",
        half_width(paired) / base,
    )


def recall_of_loss(evidence: GateEvidence) -> GateFinding:
    """Find the recall of loss lost against the champion or, if alone, logistic regression."""
    other, harm = evidence.reference, evidence.evaluation["harm"]
    paired = evidence.evaluation["paired"][f"{CANDIDATE}-{other}"]["recall_of_loss"]
    return _find_loss(f"At a harm of {harm:.1%} to good rows the recall of loss is", paired, other)


def _find_loss(figure: str, paired: Mapping[str, Any], other: str) -> GateFinding:
    if paired["value"] is None:
        return GateFinding(None, f"{figure} not comparable with {_name_model(other)}'s.")
    side = "below" if paired["value"] < 0 else "above"
    text = f"{figure} {abs(paired['value']):.3f} {side} {_name_model(other)}'s{interval_text(paired)}."
    return GateFinding(-paired["value"], text, half_width(paired))


def migration(evidence: GateEvidence) -> GateFinding:
    """Find the share of rated rows whose tier moves by more than one from the champion's, if there is a champion."""
    found = evidence.evaluation["migration"]
    if found is None or found["within_one"] is None:
        return GateFinding(None, "There is no champion whose tiers could change.")
    number = 1 - found["within_one"]
    return GateFinding(
        number, f"{number:.2%} of the rated rows move by more than one tier, {1 - found['same']:.2%} at all."
    )


def psi(evidence: GateEvidence) -> GateFinding:
    """Find the PSI of the points from training to test, over the larger of its critical value and PSI_EFFECT.

    With many rows the critical value is far below any effect. No number if all points are equal.
    """
    score, features = evidence.evaluation["psi"]["score"], evidence.evaluation["psi"]["features"]
    if not score["critical"]:
        return GateFinding(None, "All points are alike, so nothing can shift.")
    moved = [row["feature"] for row in features if row["value"] > row["critical"]]
    named = f", first {', '.join(moved[:3])}" if moved else ""
    return GateFinding(
        score["value"] / max(score["critical"], PSI_EFFECT),
        f"The PSI of the points is {score['value']:.4f}, critical {score['critical']:.4f}; {len(moved)} of {len(features)}"
        f" features have shifted{named}.",
        passes=f"A PSI below its critical value or below {PSI_EFFECT:g} passes.",
    )


def _name_model(model: str) -> str:
    return "the champion" if model == CHAMPION else "logistic regression"
