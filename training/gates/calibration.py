"""Findings of the gates of calibration: distance of observed from predicted rates, over all rows, tiers and segments."""

import math
from collections.abc import Mapping
from typing import Any

from scipy.special import betaincinv

from training.evaluation.case import CANDIDATE
from training.gates.evidence import ALPHA, GateEvidence, GateFinding, half_width, interval_text, segments

FACTOR = "A factor of up to {limit:g} passes."
NO_INTERVAL: Mapping[str, Any] = {"low": None, "high": None}


def calibration_slope(evidence: GateEvidence) -> GateFinding:
    """Find how far the calibration slope is from 1, as a ratio of at least 1.

    0.8 and 1.25 both count 1.25. It has a number only if the slope is above 0.
    """
    slope = evidence.evaluation["models"][CANDIDATE]["calibration"]["slope"]
    if slope["value"] is None or slope["value"] <= 0:
        return GateFinding(None, "The calibration slope cannot be told, or is not above 0.")
    return GateFinding(
        _ratio_above_one(slope["value"]),
        f"The calibration slope is {slope['value']:.3f}{interval_text(slope)}; {_describe_slope(slope)}.",
        half_width(slope) / slope["value"],
        is_ratio=True,
        passes=FACTOR,
    )


def _describe_slope(slope: Mapping[str, Any]) -> str:
    if slope["low"] is None or slope["high"] is None or slope["low"] <= 1 <= slope["high"]:
        return "1 is right, and this is not proven to be another"
    return f"1 is right, and predictions lie {'too far apart' if slope['value'] < 1 else 'too near to each other'}"


def calibration_level(evidence: GateEvidence) -> GateFinding:
    """Find how far the observed rate is from the predicted one, as a ratio of at least 1.

    No number if either is 0.
    """
    found = evidence.evaluation["models"][CANDIDATE]["calibration"]
    if not found["observed"] or not found["predicted"]:
        return GateFinding(None, "No row is bad, or none was predicted to be.")
    ratio = found["observed"] / found["predicted"]
    spread = half_width(found["intercept"]) * (1 - found["observed"])
    ends = {"low": ratio * math.exp(-spread), "high": ratio * math.exp(spread)} if spread < math.inf else NO_INTERVAL
    return GateFinding(
        _ratio_above_one(ratio),
        f"{_describe_share(evidence, found['observed'])} where {found['predicted']:.2%} were predicted: {ratio:.3f}"
        f" times{interval_text(ends)}.",
        spread,
        is_ratio=True,
        passes=FACTOR,
    )


def _describe_share(evidence: GateEvidence, observed: float) -> str:
    test = evidence.evaluation["test"]
    by_number = test["bad"] / test["rows"]
    if math.isclose(observed, by_number, rel_tol=1e-6):
        return f"{observed:.2%} of the rows are bad"
    return f"{observed:.2%} of the rows by weight ({by_number:.2%} by number) are bad"


def calibration_grades(evidence: GateEvidence) -> GateFinding:
    """Find the largest ratio of observed and predicted of any tier, either way, that `proven_ratio` proves; 1 if none
    is proven.
    """
    grades = evidence.evaluation["grades"]
    found = [(proven_ratio(grade, len(grades)), grade) for grade in grades]
    number, row = max(found, key=lambda pair: pair[0], default=(1.0, None))
    if row is None or number <= 1:
        return GateFinding(1.0, f"No tier of {len(grades)} is off beyond chance on either side.")
    wrong = sum(ratio > 1 for ratio, _ in found)
    return GateFinding(
        number,
        f"{wrong} of {len(grades)} tiers are off beyond chance; the worst is {row['tier']},"
        f" {_describe_distance(row, number)}.",
        passes=FACTOR,
    )


def segments_calibration(evidence: GateEvidence) -> GateFinding:
    """Find the largest ratio of observed and predicted, either way, proven of a harmed segment; 1 if none is.

    Harmed: enough rows and, with a champion, further out than the champion on the same rows.
    """
    judged = [(kind, row) for kind, row in segments(evidence) if row["rows"] >= evidence.segment_rows]
    harmed = []
    for kind, row in judged:
        champion = row["predicted_champion"] if evidence.has_champion else None
        ratio = proven_ratio(row, len(judged))
        if ratio > 1 and (champion is None or row_ratio(row) > row_ratio(row, champion)):
            harmed.append((ratio, kind, row))
    if not harmed:
        return GateFinding(1.0, f"No segment of {len(judged)} with enough rows is predicted off beyond chance.")
    number, kind, row = max(harmed, key=lambda found: found[0])
    return GateFinding(
        number,
        f"{len(harmed)} of {len(judged)} segments with enough rows are predicted off beyond chance; the worst is {kind}"
        f" {row['name']}, {_describe_distance(row, number)}.",
        passes=FACTOR,
    )


def proven_ratio(row: Mapping[str, Any], questions: int) -> float:
    """Return the proven factor of observed over predicted, or of the inverse; 1 if none is proven.

    It uses Jeffreys' interval, widened for `questions` two-sided questions (Bonferroni). Worked: 40 of 400 bad where 5
    % were predicted, one question: the interval is 0.0733 to 0.1324, the ratio 0.0733 / 0.05 = 1.47.
    """
    rows, level = row["effective_rows"], ALPHA / (2 * questions)
    a, b = row["observed"] * rows + 0.5, (1 - row["observed"]) * rows + 0.5
    low, high = float(betaincinv(a, b, level)), float(betaincinv(a, b, 1 - level))
    chance = max(float(row["predicted"]), 1e-12)
    return max(low / chance, chance / max(high, 1e-12), 1.0)


def _describe_distance(row: Mapping[str, Any], number: float) -> str:
    return (
        f"with {row['observed']:.2%} bad where {row['predicted']:.2%} were predicted, off by a factor of"
        f" {number:.2f} at least"
    )


def row_ratio(row: Mapping[str, Any], predicted: float | None = None) -> float:
    """Return observed over predicted bad rows or, if below 1, the inverse.

    Both are counted in independent rows, plus half a row. `predicted` replaces the row's own predicted rate. Worked: 9
    bad rows of 100 where 4 were predicted: 9.5 / 4.5 = 2.11.
    """
    rows = row["effective_rows"]
    chance = row["predicted"] if predicted is None else predicted
    return _ratio_above_one((row["observed"] * rows + 0.5) / (chance * rows + 0.5))


def _ratio_above_one(value: float) -> float:
    return max(value, 1 / value)
