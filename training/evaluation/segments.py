from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoring.base.arrays import Floats, Ints
from training.evaluation.arrays import Interval, Labels, groups_of
from training.evaluation.case import CANDIDATE, CHAMPION, TWIN, EvaluationCase
from training.evaluation.jeffreys import Rate
from training.evaluation.probability import tied_bins

FLOOR_ROWS = 100

AT_MOST = 20

FLOOR_BAD = 10

TENURE = (90, 365, 730, 1825)
TENURE_NAMES = ("under 90 days", "90 to 364 days", "1 to 2 years", "2 to 5 years", "5 years and more")

Parts = list[tuple[str, Ints]]


def segments(case: EvaluationCase) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of each segment, by kind (`volume`, `country`, `tenure`, ...); see `evaluate_segment`."""
    tenure = np.searchsorted(TENURE, case.tenure_days, side="right")
    order = {"thin": 0, "medium": 1, "thick": 2}
    file = sorted(groups_of(np.asarray(case.file, dtype=str)), key=lambda part: (order.get(part[0], 3), part[0]))
    kinds: dict[str, Parts] = {
        "volume": split_by_volume(case.orders),
        "tenure": [(TENURE_NAMES[code], index) for code, index in groups_of(tenure)],
        "product_category": by_label(case.product_category),
        "country": by_label(case.country),
        "file": [(str(name), index) for name, index in file],
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

    Empty labels are `unknown`. Labels of fewer than 100 rows or beyond the twenty largest are pooled into `other`,
    last. Worked: 150 x DE, 100 x FR, 99 x IT give DE, FR and other.
    """
    texts = np.asarray(labels, dtype=str)
    texts = np.where(texts == "", "unknown", texts)
    counts = Counter(texts.tolist())
    shown = sorted((name for name in counts if counts[name] >= FLOOR_ROWS), key=lambda name: (-counts[name], name))
    names = {name: k for k, name in enumerate(shown[:AT_MOST])}
    codes = np.array([names.get(name, len(names)) for name in texts.tolist()], dtype=np.int64)
    return [([*names, "other"][code], index) for code, index in groups_of(codes)]


def evaluate_segment(case: EvaluationCase, predicted: Mapping[str, Floats], name: str, index: Ints) -> dict[str, Any]:
    """Return figures of the rows at `index` by name, weighted by `case.weight`; None for a model that is missing.

    `predicted`: from `case.probabilities`. AUC ranks by `case.served`,
    over the pairs that the case is judged by; None below 10 bad or 10 good rows. `auc_difference`: the candidate's AUC
    less the champion's.
    """
    rates = {
        model: Rate.of(index, p_bad, case.bad, case.weight, case.seller)
        for model, p_bad in predicted.items()
        if model in (CANDIDATE, TWIN, CHAMPION)
    }
    candidate = rates[CANDIDATE]
    has_enough = min(candidate.bad, candidate.rows - candidate.bad) >= FLOOR_BAD
    aucs: dict[str, Any] = {}
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


def by_month(case: EvaluationCase) -> list[dict[str, Any]]:
    """Return a table of figures for each month of the observation day, in order, weighted by `case.weight`.

    The AUC is NaN below 10 bad or 10 good rows.
    """
    months = case.day.astype("datetime64[D]").astype("datetime64[M]").astype(str)
    found, predicted = [], case.probabilities()
    for month, index in groups_of(months):
        row = evaluate_segment(case, predicted, str(month), index)
        interval = row["auc"] or Interval(np.nan, np.nan, np.nan)
        shown = {name: row[name] for name in ("rows", "bad", "predicted", "observed", "low", "high")}
        found.append({"month": str(month), **shown, "auc": interval})
    return found
