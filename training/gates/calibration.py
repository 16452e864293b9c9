import math
from collections.abc import Iterator
from dataclasses import replace

from scipy.special import betaincinv

from scoring.base.canonical import JsonObject
from training.evaluation.arrays import ERRORS_95
from training.evaluation.equal_volume import CANDIDATE
from training.gates.evidence import ALPHA, GateEvidence, GateFinding, half_width, interval_text, segments_of

FACTOR = "A factor of up to {limit:g} passes."
REFERENCE = "logistic"
MIN_SHARED_FAULT = 0.14
"""Half the logarithm of 1.33."""
MAX_UNEXPLAINED = 0.25
"""The logarithm of the ratio that a drift of the base rate may leave unexplained."""
NO_INTERVAL: JsonObject = {"low": None, "high": None}


def find_level_and_slope_ratios(evidence: GateEvidence) -> tuple[GateFinding, ...]:
    """Find two ratios of at least 1: observed over predicted rate, and the calibration slope, or their inverse.

    Worked: slopes of 0.8 and 1.25 both give 1.25. A number needs rates, or a slope, above 0. With fewer than 40 bad rows
    a person decides.
    """
    few = evidence.has_few_bad
    level, slope = _judge_level(evidence), _judge_slope(evidence)
    return replace(level, by_person=few or level.by_person), replace(slope, by_person=few or slope.by_person)


def _judge_slope(evidence: GateEvidence) -> GateFinding:
    slope = evidence.evaluation["models"][CANDIDATE]["calibration"]["slope"]
    if slope["value"] is None or slope["value"] <= 0:
        return GateFinding(None, "The calibration slope cannot be told, or is not above 0.")
    shared_fault = _tell_shared_fault(_find_log_slope(evidence, CANDIDATE), _find_log_slope(evidence, REFERENCE))
    return GateFinding(
        _ratio_above_one(slope["value"]),
        f"The calibration slope is {slope['value']:.3f}{interval_text(slope)}; {_describe_slope(slope)}.{shared_fault}",
        half_width(slope) / slope["value"],
        is_ratio=True,
        by_person=bool(shared_fault),
        passes=FACTOR,
        remedy="Train again with more training points"
        + (", or fewer model.rounds." if slope["value"] < 1 else ", or more model.rounds."),
    )


def _describe_slope(slope: JsonObject) -> str:
    if slope["low"] is None or slope["high"] is None or slope["low"] <= 1 <= slope["high"]:
        return "1 is right, and this is not proven to be another"
    return f"1 is right, and predictions lie {'too far apart' if slope['value'] < 1 else 'too near to each other'}"


def _judge_level(evidence: GateEvidence) -> GateFinding:
    """Ask for a signature if a proven drift of the base rate since training explains a failure."""
    level = evidence.evaluation["models"][CANDIDATE]["calibration"]
    if not level["observed"] or not level["predicted"]:
        return GateFinding(None, "No row is bad, or none was predicted to be.")
    ratio = level["observed"] / level["predicted"]
    spread = half_width(level["intercept"]) * (1 - level["observed"])
    interval = (
        {"low": ratio * math.exp(-spread), "high": ratio * math.exp(spread)} if spread < math.inf else NO_INTERVAL
    )
    text = (
        f"{_describe_share(evidence, level['observed'])} where {level['predicted']:.2%} were predicted: {ratio:.3f}"
        f" times{interval_text(interval)}."
    )
    drift = _find_drift(evidence)
    log_ratio = math.log(ratio)
    is_drift = abs(log_ratio - drift) < min(abs(log_ratio) / 2, MAX_UNEXPLAINED)
    if is_drift:
        text += f" Bad rows are {math.exp(drift):.2f} times as frequent as in training: a drift of the base rate."
    shared_fault = _tell_shared_fault(log_ratio, _find_log_level(evidence, REFERENCE))
    return GateFinding(
        _ratio_above_one(ratio),
        text + shared_fault,
        spread,
        is_ratio=True,
        by_person=is_drift or bool(shared_fault),
        passes=FACTOR,
        remedy="train --recalibrate keeps the tables and fits the level to the latest outcomes.",
    )


def _tell_shared_fault(log_ratio: float, logistic_log_ratio: float) -> str:
    """Return a sentence if logistic regression has half of the fault on the same rows; else ""."""
    if abs(logistic_log_ratio) < MIN_SHARED_FAULT or not _explains_half(logistic_log_ratio, log_ratio):
        return ""
    return f" Logistic regression has {math.exp(logistic_log_ratio):.3f} on the same rows."


def _explains_half(other_log_ratio: float, log_ratio: float) -> bool:
    return log_ratio * other_log_ratio > 0 and abs(other_log_ratio) >= abs(log_ratio) / 2


def _find_log_level(evidence: GateEvidence, model: str) -> float:
    """Return ln(observed rate / predicted rate) of a model; 0 if unknown."""
    level = evidence.evaluation["models"][model]["calibration"]
    return math.log(level["observed"] / level["predicted"]) if level["observed"] and level["predicted"] else 0.0


def _find_log_slope(evidence: GateEvidence, model: str) -> float:
    value = evidence.evaluation["models"][model]["calibration"]["slope"]["value"]
    return math.log(value) if value is not None and value > 0 else 0.0


def _find_drift(evidence: GateEvidence) -> float:
    """Return the logarithm of the base rate at test over training; 0 if not proven."""
    train, test = (evidence.evaluation[name] for name in ("train", "test"))
    if not train["bad"] or not test["bad"]:
        return 0.0
    drift = math.log(test["bad"] / test["rows"]) - math.log(train["bad"] / train["rows"])
    # Rows of one seller in training repeat each other.
    error = math.sqrt(1 / test["bad"] + train["rows"] / (train["sellers"] * train["bad"]))
    return drift if abs(drift) > ERRORS_95 * error else 0.0


def _describe_share(evidence: GateEvidence, observed: float) -> str:
    test = evidence.evaluation["test"]
    by_number = test["bad"] / test["rows"]
    if math.isclose(observed, by_number, rel_tol=1e-6):
        return f"{observed:.2%} of the rows are bad"
    return f"{observed:.2%} of the rows by weight ({by_number:.2%} by number) are bad"


def find_segments_off(evidence: GateEvidence) -> tuple[GateFinding, ...]:
    """Find the tiers and segments whose predicted rate is proven to be off, the worst first, after a count in words.

    Only segments with enough rows are judged, and with a champion only those that are further out than the champion on
    the same rows. A person judges a segment if a person judges the whole test's level, and it has half of the fault.
    """
    judged = [(kind, row) for kind, row in _list_tiers_and_segments(evidence) if row["rows"] >= evidence.segment_rows]
    test_level = _judge_level(evidence)
    test_log_level = _find_log_level(evidence, CANDIDATE) if test_level.by_person else 0.0
    findings = []
    for kind, row in judged:
        champion = row.get("predicted_champion") if evidence.has_champion else None
        ratio, spread = row_ratio(row), row_spread(row, len(judged))
        if math.log(ratio) <= spread or (champion is not None and ratio <= row_ratio(row, champion)):
            continue
        text = (
            f"{kind} {row.get('name') or row['tier']} has {row['observed']:.2%} bad where {row['predicted']:.2%} were"
            f" predicted, {ratio:.2f} times off."
        )
        log_ratio = math.copysign(math.log(ratio), row["observed"] - row["predicted"])
        by_person = evidence.has_few_bad or _explains_half(test_log_level, log_ratio)
        findings.append(GateFinding(ratio, text, spread, is_ratio=True, of_many=True, by_person=by_person))
    groups = f"{len(judged)} tiers and segments with enough rows"
    if not findings:
        return (GateFinding(1.0, f"None of {groups} is predicted off beyond chance."),)
    summary = GateFinding(1.0, f"{len(findings)} of {groups} are predicted off beyond chance.", passes=FACTOR)
    findings.sort(key=lambda finding: -(finding.number or 0))
    remedy = "See whether training had such sellers: later training points, or features.without."
    return summary, *findings[:-1], replace(findings[-1], remedy=remedy)


def _list_tiers_and_segments(evidence: GateEvidence) -> Iterator[tuple[str, JsonObject]]:
    yield from (("tier", row) for row in evidence.evaluation["grades"])
    yield from segments_of(evidence)


def row_spread(row: JsonObject, questions: int) -> float:
    """Return the distance of an observed rate to the end of its interval towards the predicted rate, as logarithm.

    `row`: a tier or segment. Jeffreys' interval, widened for two-sided `questions` (Bonferroni); infinite if the end is
    0. Worked: 40 of 400 bad where 5 % were predicted, one question: the interval begins at 0.0735, and the logarithm of
    0.101 / 0.0735 is 0.318.
    """
    rows, level = row["effective_rows"], ALPHA / (2 * questions)
    bad, good = row["observed"] * rows + 0.5, (1 - row["observed"]) * rows + 0.5
    middle = bad / (bad + good)
    if middle < row["predicted"]:
        return math.log(float(betaincinv(bad, good, 1 - level)) / middle)
    low = float(betaincinv(bad, good, level))
    return math.log(middle / low) if low > 0 else math.inf


def row_ratio(row: JsonObject, predicted: float | None = None) -> float:
    """Return observed over predicted bad rows of a tier or segment or, if below 1, the inverse.

    Both are counted in independent rows, plus half a row. Worked: 9 bad rows of 100 where 4 were predicted: 9.5 / 4.5 =
    2.11.
    """
    rows = row["effective_rows"]
    chance = row["predicted"] if predicted is None else predicted
    return _ratio_above_one((row["observed"] * rows + 0.5) / (chance * rows + 0.5))


def _ratio_above_one(value: float) -> float:
    return max(value, 1 / value)
