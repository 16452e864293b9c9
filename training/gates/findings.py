import numpy as np
from scipy.special import ndtr

from scoring.base.canonical import JsonObject
from scoring.model.promises import PROMISES
from training.evaluation.arrays import ERRORS_95
from training.evaluation.case import CHAMPION
from training.evaluation.equal_volume import CANDIDATE, MIN_BAD, MIN_PAIRS
from training.evaluation.jeffreys import holm
from training.gates.evidence import ALPHA, GateEvidence, GateFinding, half_width, interval_text, segments_of


def count_given_up_promises(evidence: GateEvidence) -> GateFinding:
    """Count the promises that the study gives up. A model that breaks its certificate is refused before it is judged."""
    names = evidence.evaluation.get("certificate", {}).get("promises", {}).get("given_up", [])
    if names:
        given_up = "; and that ".join(promise.text for promise in PROMISES if promise.name in names)
        return GateFinding(
            len(names),
            f"The study gives up the promise that {given_up}: this may be a challenger, and is never champion.",
        )
    return GateFinding(0, "Every table is monotone in every constrained feature.")


def count_parity_mismatches(evidence: GateEvidence) -> GateFinding:
    """Count rows whose features in training and at a server differ in any bit; a number needs a compared row."""
    rows, differing = evidence.measured.parity_rows, evidence.measured.parity_mismatches
    if differing is None or rows <= 0:
        return GateFinding(None, "No row was compared: features read as a server reads them.")
    return GateFinding(
        differing, f"{differing:,} of {rows:,} rows differ in a bit: features read as a server reads them."
    )


def count_failed_checks(evidence: GateEvidence, kind: str) -> GateFinding:
    """Count the checks of a kind, "leakage" or "data", that failed; a number needs a check."""
    rows = evidence.evaluation.get("checks", {}).get(kind, [])
    if not rows:
        return GateFinding(None, f"No {kind} check was made.")
    failed = [row for row in rows if not row["ok"]]
    if not failed:
        return GateFinding(0, f"All {len(rows)} {kind} checks hold.")
    texts = "; ".join(row["text"] for row in failed)
    text = f"{len(failed)} of {len(rows)} {kind} checks do not hold: {texts}."
    return GateFinding(len(failed), text, by_person=all(row.get("signed") for row in failed))


def count_other_digests(evidence: GateEvidence) -> GateFinding:
    """Count the digests of repeated trainings beyond the first; no number if trained once."""
    digests = evidence.measured.digests
    if len(digests) < 2:
        return GateFinding(None, "The model was not trained twice, so nobody knows whether it comes out the same.")
    others = len(set(digests)) - 1
    digest_text = f"{others} with another digest" if others else "all with the same digest"
    return GateFinding(others, f"Trained {len(digests)} times, {digest_text}.")


def find_lost_auc(evidence: GateEvidence) -> tuple[GateFinding, ...]:
    """Find the AUC lost against the champion or, without one, logistic regression; then in segments where it is proven.

    A gain is below 0. The first number needs enough pairs and bad rows, and proof that the candidate ranks better than
    chance.
    """
    judged, other = evidence.evaluation["judged"], evidence.reference
    pairs = "pairs at equal volume" if judged["at_equal_volume"] else "pairs of one day"
    auc, lead = judged["auc"][CANDIDATE], judged["difference"][f"{CANDIDATE}-{other}"]
    if judged["pairs"] < MIN_PAIRS or judged["bad"] < MIN_BAD:
        reason = f"Not judged: {judged['pairs']:,.0f} {pairs} of {judged['bad']:,} bad rows"
        return (GateFinding(None, f"{reason}; {MIN_PAIRS:,} and {MIN_BAD} are needed.", by_person=True),)
    text = f"Over {judged['pairs']:,.0f} {pairs} the AUC is {auc['value']:.3f}"
    side = "below" if lead["value"] < 0 else "above"
    remedy = "Train again with more points or other features, or keep what ranks better."
    finding = GateFinding(
        -lead["value"],
        f"{text}, {abs(lead['value']):.3f} {side} {_name_model(other)}'s{interval_text(lead)}.",
        half_width(lead),
        passes="A loss of up to {limit:g} passes.",
        remedy=remedy,
    )
    if auc["low"] > 0.5:
        return finding, *_find_segments_with_lost_auc(evidence)
    chance = f"{text}{interval_text(auc)}, not proven to rank better than chance."
    return GateFinding(None, chance, by_person=auc["value"] > 0.5, remedy=remedy), finding


def _find_segments_with_lost_auc(evidence: GateEvidence) -> list[GateFinding]:
    """Find the AUC that segments provably lose against the champion, or below 0.5 without one; after Holm."""
    tested = []
    for kind, row in segments_of(evidence):
        paired = row["auc_difference"] if evidence.has_champion else None
        estimate, reference_value = (row["auc"], 0.5) if paired is None else (paired, 0.0)
        if row["rows"] >= evidence.segment_rows and estimate is not None and estimate["value"] is not None:
            tested.append(
                (
                    reference_value - estimate["value"],
                    half_width(estimate),
                    _compute_p_value_below(estimate, reference_value),
                    kind,
                    row,
                )
            )
    adjusted = holm(np.array([p for _, _, p, _, _ in tested], dtype=np.float64)).tolist()
    by_whom = "by the champion" if evidence.has_champion else "by chance"
    return [
        GateFinding(
            loss,
            f"Worse than {by_whom} beyond chance: {kind} {row['name']}, with an AUC of {row['auc']['value']:.3f},"
            f" {loss:.3f} less.",
            spread,
            of_many=True,
        )
        for (loss, spread, _, kind, row), p in zip(tested, adjusted, strict=True)
        if p < ALPHA
    ]


def _compute_p_value_below(figure: JsonObject, bound: float) -> float:
    if figure["low"] is None or figure["high"] is None:
        return 1.0
    error = (figure["high"] - figure["low"]) / (2 * ERRORS_95)
    return float(ndtr((figure["value"] - bound) / error)) if error > 0 else float(figure["value"] >= bound)


def find_share_moved_far(evidence: GateEvidence) -> GateFinding:
    """Find the share of rated rows that move by more than one tier; a number needs a champion."""
    shares = evidence.evaluation["migration"]
    if shares is None or shares["within_one"] is None:
        return GateFinding(None, "There is no champion whose tiers could change.")
    far = 1 - shares["within_one"]
    return GateFinding(far, f"{far:.2%} of the rated rows move by more than one tier, {1 - shares['same']:.2%} at all.")


def find_psi_bound(evidence: GateEvidence) -> GateFinding:
    """Find the lower bound of the PSI of points from the judged rows to today's sellers.

    It is the lesser of two bounds: of all sellers, and at equal tenure and volume, so that growth alone never fails.
    """
    psi = evidence.evaluation.get("today", {}).get("psi")
    if psi is None:
        return GateFinding(None, "No seller of today is there to compare with.")
    overall, at_equal_volume = psi["all"], psi["alike"]
    return GateFinding(
        min(overall["low"], at_equal_volume["low"]),
        f"The PSI of the points from the judged rows to today's sellers is {overall['value']:.3f}{interval_text(overall)}, at"
        f" equal tenure and volume {at_equal_volume['value']:.3f}{interval_text(at_equal_volume)}.",
        passes="If one of the lower bounds is at most {limit:g}, it passes.",
        remedy="Look who came since, and train again when their outcomes are known.",
    )


def _name_model(model: str) -> str:
    return "the champion" if model == CHAMPION else "logistic regression"
