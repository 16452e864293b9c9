from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from scoring.base.arrays import Bools, Floats, Ints
from scoring.base.canonical import JsonObject
from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.frozen import frozen
from scoring.model.scale import MAX_POINTS
from scoring.policy.policy import Policy
from training.evaluation.arrays import Interval, Labels, groups_of, sigmoid, to_json_values
from training.evaluation.case import CHAMPION, TWIN, VOLUMES, EvaluationCase
from training.evaluation.equal_volume import CANDIDATE, compare_pairs, estimate_by_jackknife
from training.evaluation.jeffreys import Rate, holm
from training.evaluation.probability import log_losses, measure_calibration, tied_bins
from training.evaluation.stability import Samples


def evaluate(case: EvaluationCase) -> JsonObject:
    """Compute all figures of a candidate's evaluation, as JSON values.

    AUCs, curves, means and bad rates weight each row by `case.weight`; counts and drift do not. Intervals (95 %) are by
    seller. Null marks an undefined figure.
    """
    scores = case.scores()
    auc, difference = compare_pairs(scores, case.bad, np.ones(len(case.bad)), case.seller, case.weight)
    shares = {name: Shares.of(score, case.bad, case.weight) for name, score in scores.items() if name not in VOLUMES}
    base_rate = case.mean(case.bad)
    figures = {
        "train": count_rows(case.train.bad, case.train.seller),
        "test": count_rows(case.bad, case.seller)
        | {
            "indeterminate": case.indeterminate,
            "left": case.left,
            "seen_rows": int(case.seen.sum()),
            "unseen_rows": int((~case.seen).sum()),
        },
        "base_rate": base_rate,
        "predicted": case.mean(case.probabilities()[CANDIDATE]),
        "auc": {name: ranked.interval() for name, ranked in auc.items()},
        "difference": difference,
        **compare_models(case),
        "models": {name: _describe_probabilities(case, name) for name in case.probabilities()},
        "curves": {
            "roc": {name: roc(share) for name, share in shares.items()},
            "precision": {name: precision(share, base_rate) for name, share in shares.items()},
        },
        "reliability": reliability(case),
        "grades": grades(case),
        "by_month": by_month(case),
        "segments": segments(case),
        "psi": stability(case),
        "migration": migration(case),
    }
    return dict(to_json_values(figures))


def _describe_probabilities(case: EvaluationCase, name: str) -> JsonObject:
    log_odds, p_bad = case.log_odds[name], case.probabilities()[name]
    slope, intercept = measure_calibration(log_odds, case.bad, case.weight, case.seller)
    losses = log_losses(log_odds, case.bad)
    log_loss = case.mean(losses)
    _, cluster = np.unique(case.seller, return_inverse=True)
    influence = np.bincount(cluster, weights=case.weight * (losses - log_loss)) / case.weight.sum()
    return {
        "log_loss": estimate_by_jackknife(log_loss, influence),
        "brier": case.mean((p_bad - case.bad) ** 2),
        "calibration": {
            "slope": slope,
            "intercept": intercept,
            "predicted": case.mean(p_bad),
            "observed": case.mean(case.bad),
        },
    }


def compare_models(case: EvaluationCase) -> JsonObject:
    """Return AUCs over pairs of one day and of like window volume, and over the pairs that the case is judged by.

    `pairs`: their weight; `bad`: bad rows in one; `difference`: the candidate's AUC less another's.
    """
    comparisons = {"equal_volume": _compare_aucs(case, at_equal_volume=True)}
    judged = comparisons["equal_volume"] if case.at_equal_volume else _compare_aucs(case, at_equal_volume=False)
    return comparisons | {"judged": {"at_equal_volume": case.at_equal_volume, **judged}}


def _compare_aucs(case: EvaluationCase, *, at_equal_volume: bool) -> JsonObject:
    """Return AUCs and differences. `at_equal_volume`: among sellers of equal orders, as in `EvaluationCase.compare`."""
    aucs, differences = case.compare(case.scores(), at_equal_volume=at_equal_volume)
    return {
        "pairs": aucs[CANDIDATE].pairs,
        "bad": aucs[CANDIDATE].bad,
        "auc": {name: auc.interval() for name, auc in aucs.items()},
        "difference": differences,
    }


def stability(case: EvaluationCase) -> JsonObject:
    """Return the PSI of the candidate's points (`score`) and the CSI of each of `features`, test against training.

    Features with the largest ratio of value to critical value come first, equal ones by name.
    """
    samples = Samples(case.train.seller, case.seller)
    score = samples.shift(case.train.points.astype(np.float64), case.points.astype(np.float64), [case.seed, 2000])
    features = [
        {"feature": name, **asdict(samples.shift(case.train.x[:, k], case.x[:, k], [case.seed, 2001, k]))}
        for k, name in enumerate(case.features)
    ]
    features.sort(key=lambda row: (-row["value"] / row["critical"] if row["critical"] > 0 else 0.0, row["feature"]))
    return {"score": asdict(score), "features": features}


def count_rows(bad: Floats, seller: Any) -> dict[str, int]:
    return {"rows": len(bad), "bad": int(bad.sum()), "sellers": len(np.unique(seller))}


GRID = np.linspace(0.0, 1.0, 101)


@frozen
class Shares:
    """Cumulative shares of the weight of rows rejected, worst score first.

    Each array has the shape (distinct scores + 1,) and goes from 0 to 1; it stays 0 if it counts no rows.
    """

    good: Floats
    bad: Floats
    all: Floats

    @staticmethod
    def of(score: Floats, bad: Floats, weight: Floats) -> "Shares":
        """Return the cumulative shares by a score, each row by its weight.

        Worked: scores 3, 2, 1 with bad 1, 0, 0: bad 0, 1, 1, 1; good 0, 0, 0.5, 1.
        """
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)

        def shares(values: Floats) -> Floats:
            sums = np.append(0.0, np.cumsum(values[order])[ends])
            return sums / sums[-1] if sums[-1] > 0 else sums

        return Shares(shares(weight * (1 - bad)), shares(weight * bad), shares(weight))


def roc(shares: Shares) -> dict[str, Floats]:
    """Return the ROC curve by weight: `y`, the share of bad rows rejected, at hundredths `x` of good rows rejected."""
    return {"x": GRID, "y": np.interp(GRID, shares.good, shares.bad)}


def precision(shares: Shares, rate: float) -> dict[str, Floats]:
    """Return the curve by weight: `y`, the bad rate among the worst rows that hold the share `x` of the bad rows.

    `rate`: the bad rate of all rows.
    """
    x = GRID[1:]
    return {"x": x, "y": x * rate / np.maximum(np.interp(x, shares.bad, shares.all), 1e-12)}


def reliability(case: EvaluationCase) -> list[JsonObject]:
    """Return predicted and observed rate, with Jeffreys' interval, for about each tenth of the rows by prediction."""
    p_bad = case.probabilities()[CANDIDATE]
    return [Rate.of(index, p_bad, case.bad, case.weight, case.seller).shown() for index in tied_bins(p_bad)]


MIN_LABEL_ROWS = 100

MAX_LABELS = 20

MIN_SEGMENT_BAD = 10

TENURE = (90, 365, 730, 1825)
TENURE_NAMES = ("under 90 days", "90 to 364 days", "1 to 2 years", "2 to 5 years", "5 years and more")

Parts = list[tuple[str, Ints]]


def segments(case: EvaluationCase) -> dict[str, list[JsonObject]]:
    """Return the figures of each segment, by kind (`volume`, `country`, `tenure`, ...); see `evaluate_segment`."""
    tenure = np.searchsorted(TENURE, case.tenure_days, side="right")
    place_of_file = {"thin": 0, "medium": 1, "thick": 2}
    parts_by_file = sorted(
        groups_of(np.asarray(case.file, dtype=str)), key=lambda part: (place_of_file.get(part[0], 3), part[0])
    )
    kinds: dict[str, Parts] = {
        "volume": split_by_volume(case.orders),
        "tenure": [(TENURE_NAMES[code], index) for code, index in groups_of(tenure)],
        "product_category": by_label(case.product_category),
        "country": by_label(case.country),
        "file": [(str(name), index) for name, index in parts_by_file],
        "sellers": [("seen" if code == 0 else "unseen", index) for code, index in groups_of((~case.seen).astype(int))],
        "inspected": [
            ("all others" if code else "randomly inspected", index)
            for code, index in groups_of((~case.inspected).astype(int))
        ],
    }
    predicted = case.probabilities()
    return {
        kind: [evaluate_segment(case, predicted, name, index) for name, index in parts] for kind, parts in kinds.items()
    }


def split_by_volume(orders: Floats) -> Parts:
    """Split rows into tenths by orders; return a list of (name, row indices), smallest first.

    Names are like "1 of 10: 0 to 5 orders". Equal orders are in one part, so there may be fewer parts.
    """
    parts = tied_bins(orders)
    return [
        (f"{k + 1} of {len(parts)}: {orders[index[0]]:,.0f} to {orders[index[-1]]:,.0f} orders", index)
        for k, index in enumerate(parts)
    ]


def by_label(labels: Labels) -> Parts:
    """Group rows by label; return (label, row indices), the label of most rows first.

    Empty labels are `unknown`. Labels of fewer than 100 rows or beyond twenty are `other`, last. Worked: 150 x DE, 100
    x FR, 99 x IT give DE, FR and other.
    """
    texts = np.asarray(labels, dtype=str)
    texts = np.where(texts == "", "unknown", texts)
    counts = Counter(texts.tolist())
    shown = sorted((name for name in counts if counts[name] >= MIN_LABEL_ROWS), key=lambda name: (-counts[name], name))
    code_by_name = {name: k for k, name in enumerate(shown[:MAX_LABELS])}
    codes = np.array([code_by_name.get(name, len(code_by_name)) for name in texts.tolist()], dtype=np.int64)
    return [([*code_by_name, "other"][code], index) for code, index in groups_of(codes)]


def evaluate_segment(case: EvaluationCase, predicted: Mapping[str, Floats], name: str, index: Ints) -> JsonObject:
    """Return figures of the rows at `index` by name, weighted; None for a model that is missing.

    `predicted`: from `case.probabilities`. AUC ranks by `case.served`, over the pairs that the case is judged by; None
    below 10 bad or 10 good rows.
    """
    rates = {
        model: Rate.of(index, p_bad, case.bad, case.weight, case.seller)
        for model, p_bad in predicted.items()
        if model in (CANDIDATE, TWIN, CHAMPION)
    }
    candidate = rates[CANDIDATE]
    has_enough = min(candidate.bad, candidate.rows - candidate.bad) >= MIN_SEGMENT_BAD
    aucs: JsonObject = {}
    differences: dict[str, Interval] = {}
    if has_enough:
        scores_by_model, differences = case.compare(
            {model: case.served[model][index] for model in rates}, index, at_equal_volume=case.at_equal_volume
        )
        aucs = {model: score.interval() for model, score in scores_by_model.items()}
    return {
        "name": name,
        **candidate.shown(),
        "effective_rows": candidate.effective_rows,
        "auc": aucs.get(CANDIDATE),
        "auc_unconstrained": aucs[TWIN].value if TWIN in aucs else None,
        "auc_difference": differences.get(f"{CANDIDATE}-{CHAMPION}"),
        "predicted_champion": rates[CHAMPION].predicted if CHAMPION in rates else None,
    }


def by_month(case: EvaluationCase) -> list[JsonObject]:
    """Return the figures of each month of observation, in order. The AUC is NaN below 10 bad or 10 good rows."""
    months = case.day.astype("datetime64[D]").astype("datetime64[M]").astype(str)
    rows, predicted = [], case.probabilities()
    for month, index in groups_of(months):
        row = evaluate_segment(case, predicted, str(month), index)
        interval = row["auc"] or Interval(np.nan, np.nan, np.nan)
        shown = {name: row[name] for name in ("rows", "bad", "predicted", "observed", "low", "high")}
        rows.append({"month": str(month), **shown, "auc": interval})
    return rows


TIERS = (Tier.UNRATED, *RATED_TIERS)
NAMES = [tier.word for tier in TIERS]


def tier_codes(points: Ints, unrated: Bools, policy: Policy) -> Ints:
    """Return the index into TIERS of each row; 0 is unrated.

    Worked: with cut-offs 500, 600, 700, 499 points are 1 (probation) and 500 are 2.
    """
    cut_offs = [policy.cut_offs[tier] for tier in RATED_TIERS[1:]]
    return np.where(unrated, 0, 1 + np.searchsorted(cut_offs, points, side="right")).astype(np.int64)


def grades(case: EvaluationCase) -> list[JsonObject]:
    """Return a table for each tier that has rows: points, predicted and observed rate, tests.

    Jeffreys' test is two-sided, with Holm's correction over all tiers and sides. `at_reference`: the observed rate as
    if every seller had the reference exposure. Worked: 5 % were bad, 6 % predicted at their own exposure and 3 % at the
    reference exposure: 5 % x 3 / 6 = 2.5 %.
    """
    codes = tier_codes(case.points, case.unrated, case.policy)
    p_bad, p_bad_at_reference = case.probabilities()[CANDIDATE], sigmoid(case.served[CANDIDATE])
    edges = [0, *(case.policy.cut_offs[tier] for tier in RATED_TIERS[1:]), MAX_POINTS + 1]
    rows: list[JsonObject] = []
    for code, name in enumerate(NAMES):
        index = np.flatnonzero(codes == code)
        if not len(index):
            continue
        rate = Rate.of(index, p_bad, case.bad, case.weight, case.seller)
        under, over = rate.find_p_values()
        lowest, highest = (edges[code - 1], edges[code] - 1) if code else (None, None)
        shown = {**rate.shown(), "effective_rows": rate.effective_rows, "p_under": under, "p_over": over}
        scale = float(case.weight[index] @ p_bad_at_reference[index] / (case.weight[index] @ p_bad[index]))
        scaled = (min(value * scale, 1.0) for value in (rate.observed, rate.low, rate.high))
        rows.append(
            {"tier": name, "points_from": lowest, "points_to": highest, **shown, "at_reference": Interval(*scaled)}
        )
    adjusted = holm(np.array([row[side] for row in rows for side in ("p_under", "p_over")]))
    for row, (under, over) in zip(rows, adjusted.reshape(-1, 2).tolist(), strict=True):
        row |= {"p_under_holm": under, "p_over_holm": over}
    return rows


def migration(case: EvaluationCase) -> JsonObject | None:
    """Count rated rows by the champion's tier (down) and the candidate's (across); None without a champion.

    `matrix`: the unweighted counts. `same` and `within_one`: the shares of rows that keep their tier, or move by at
    most one.
    """
    if case.champion_points is None:
        return None
    rated = ~case.unrated
    before = tier_codes(case.champion_points, case.unrated, case.policy)[rated]
    after = tier_codes(case.points, case.unrated, case.policy)[rated]
    matrix = np.zeros((len(TIERS), len(TIERS)), dtype=np.int64)
    np.add.at(matrix, (before, after), 1)
    moved = np.abs(before - after)
    return {
        "tiers": NAMES[1:],
        "matrix": matrix[1:, 1:],
        "same": float((moved == 0).mean()) if len(moved) else None,
        "within_one": float((moved <= 1).mean()) if len(moved) else None,
    }
