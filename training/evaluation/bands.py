"""Bands of points: each band's share of sellers, and its bad rate at the reference exposure.

    rate = observed x (predicted at the reference exposure / predicted at each row's own exposure)

Worked: 5 % were bad, 6 % predicted at their own exposure and 3 % at the reference exposure: 5 % x 3 / 6 = 2.5 %. The
interval is scaled alike.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoring.base.enums import RATED_TIERS, Tier
from scoring.model.scale import MAX_POINTS
from training.evaluation.arrays import sigmoid
from training.evaluation.case import CANDIDATE, Case
from training.evaluation.jeffreys import jeffreys_interval

STEP = 5

Strips = Mapping[str, Any]


def count_strips(case: Case) -> dict[str, Any]:
    """Count the rated test rows in strips of 5 points; the rates of any bands follow from these counts.

    Lists by strip: `points_from`, `rows`, and weighted sums: `weight`, `bad`, `own` and `reference` (predictions at
    each row's own and at the reference exposure). `unrated`: number of other rows. `independence`: independent sellers
    per row, by Kish.
    """
    rated = ~case.unrated
    strip = case.points[rated] // STEP
    count = MAX_POINTS // STEP + 1
    kept = np.flatnonzero(np.bincount(strip, minlength=count))
    weight = case.weight[rated]
    values = {
        "weight": weight,
        "bad": weight * case.bad[rated],
        "own": weight * sigmoid(case.log_odds[CANDIDATE][rated]),
        "reference": weight * sigmoid(case.served[CANDIDATE][rated]),
    }
    by_seller = np.bincount(np.unique(case.seller[rated], return_inverse=True)[1], weights=weight)
    independent = float(by_seller.sum() ** 2 / (by_seller**2).sum()) if len(by_seller) else 0.0
    return {
        "points_from": kept * STEP,
        "rows": np.bincount(strip, minlength=count)[kept],
        **{name: np.bincount(strip, weights=value, minlength=count)[kept] for name, value in values.items()},
        "unrated": int(case.unrated.sum()),
        "independence": independent / max(len(weight), 1),
    }


def read_bands(strips: Strips, cut_offs: Mapping[Tier, int]) -> list[dict[str, Any]]:
    """Return a table for each rated tier, the lowest first.

    `share` is of all test rows, including unrated rows. `rate`, `low` and `high` are at the reference exposure (95 %);
    None for an empty tier. `apart`: the interval lies above the interval of the next better tier with rows; None for
    the best tier. A strip belongs to the tier of its lowest points.
    """
    edges = [0, *(cut_offs[tier] for tier in RATED_TIERS[1:]), MAX_POINTS + 1]
    code = np.searchsorted(edges, np.array(strips["points_from"]), side="right") - 1
    total = max(sum(strips["rows"]) + strips["unrated"], 1)
    table = []
    for place, tier in enumerate(RATED_TIERS):
        inside = code == place
        sums = {n: float(np.array(strips[n])[inside].sum()) for n in ("rows", "weight", "bad", "own", "reference")}
        rows = int(sums.pop("rows"))
        row: dict[str, Any] = {
            "tier": tier.name.lower(),
            "points_from": edges[place],
            "points_to": edges[place + 1] - 1,
        }
        row |= {"rows": rows, "share": rows / total, **_rate(sums, rows * strips["independence"]), "apart": None}
        table.append(row)
    known = [row for row in table if row["rate"] is not None]
    for worse, better in itertools.pairwise(known):
        worse["apart"] = worse["low"] > better["high"]
    return table


def _rate(sums: Mapping[str, float], rows: float) -> dict[str, float | None]:
    if not sums["weight"] or not sums["own"]:
        return {"rate": None, "low": None, "high": None}
    observed, scale = sums["bad"] / sums["weight"], sums["reference"] / sums["own"]
    low, high = jeffreys_interval(observed * rows, rows)
    return {name: min(value * scale, 1.0) for name, value in (("rate", observed), ("low", low), ("high", high))}
