from typing import Any

import numpy as np

from scoring.base.arrays import Bools, Ints
from scoring.base.enums import RATED_TIERS, Tier
from scoring.model.scale import MAX_POINTS
from scoring.policy.policy import Policy
from training.evaluation.arrays import Interval, sigmoid
from training.evaluation.case import CANDIDATE, EvaluationCase
from training.evaluation.jeffreys import Rate, holm

TIERS = (Tier.UNRATED, *RATED_TIERS)
NAMES = [tier.name.lower() for tier in TIERS]


def tier_codes(points: Ints, unrated: Bools, policy: Policy) -> Ints:
    """Return the index into TIERS of each row; 0 is unrated.

    Worked: with cut-offs 500, 600, 700, 499 points are 1 (probation) and 500 are 2.
    """
    cut_offs = [policy.cut_offs[tier] for tier in RATED_TIERS[1:]]
    return np.where(unrated, 0, 1 + np.searchsorted(cut_offs, points, side="right")).astype(np.int64)


def grades(case: EvaluationCase) -> list[dict[str, Any]]:
    """Return a table for each tier that has rows: points, predicted and observed rate weighted by `case.weight`, tests.

    Jeffreys' test is two-sided, with Holm's correction over all tiers and sides. Unrated rows are a tier of their own,
    without a range of points. `at_reference`: the observed rate and its interval, as if every seller had the reference
    exposure. Worked: 5 % were bad, 6 % predicted at their own exposure and 3 % at the reference exposure: 5 % x 3 / 6 =
    2.5 %.
    """
    codes = tier_codes(case.points, case.unrated, case.policy)
    p_bad, served = case.probabilities()[CANDIDATE], sigmoid(case.served[CANDIDATE])
    edges = [0, *(case.policy.cut_offs[tier] for tier in RATED_TIERS[1:]), MAX_POINTS + 1]
    rows: list[dict[str, Any]] = []
    for code, name in enumerate(NAMES):
        index = np.flatnonzero(codes == code)
        if not len(index):
            continue
        rate = Rate.of(index, p_bad, case.bad, case.weight, case.seller)
        under, over = rate.find_p_values()
        lowest, highest = (edges[code - 1], edges[code] - 1) if code else (None, None)
        shown = {**rate.shown(), "effective_rows": rate.effective_rows, "p_under": under, "p_over": over}
        scale = float(case.weight[index] @ served[index] / (case.weight[index] @ p_bad[index]))
        ends = (min(value * scale, 1.0) for value in (rate.observed, rate.low, rate.high))
        rows.append(
            {"tier": name, "points_from": lowest, "points_to": highest, **shown, "at_reference": Interval(*ends)}
        )
    adjusted = holm(np.array([row[side] for row in rows for side in ("p_under", "p_over")]))
    for row, (under, over) in zip(rows, adjusted.reshape(-1, 2).tolist(), strict=True):
        row |= {"p_under_holm": under, "p_over_holm": over}
    return rows


def migration(case: EvaluationCase) -> dict[str, Any] | None:
    """Count rated rows by the champion's tier (down) and the candidate's (across); None if alone.

    `matrix`: the unweighted counts. `same` and `within_one`: the shares of rows that keep their tier, or move by at
    most one; None if all are unrated.
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
