"""The points of sellers now, at past midnights, with allegations upheld, and at both ends of their own rates."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from scoring.base.arrays import Bools, Floats, Ints
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.features.facts import Facts
from scoring.features.fold import Sums
from scoring.features.resolved import SellerFacts, attributes_of
from scoring.features.table import AttributeFeature, matrix
from scoring.model.artifact import Artifact
from scoring.model.interval import ENDS, append_ends
from scoring.policy.policy import Policy

MAX_CELLS = 1_000_000
"""Rows times views that are folded at once: about 300 MB."""


@frozen
class SellerPoints:
    """Arrays of shape (n,), the last two of shape (midnights, n)."""

    facts: Facts
    """Now."""
    sums: Sums
    """Its first n cases are now."""
    x: Floats
    """The model's input now, of shape (n, features)."""
    raw: Floats
    """The raw score now."""
    now: Ints
    upheld: Ints
    """With open allegations upheld."""
    low: Ints
    """At the bad end of the 90 % interval of the seller's own rates (see `scoring.model.interval`)."""
    high: Ints
    """At its good end."""
    midnights: Ints
    """0 where they were not asked for."""
    is_thin: Bools
    """Whether the file was thin; False where it was not asked for."""


def find_points(
    seller_facts: SellerFacts,
    artifact: Artifact,
    policy: Policy,
    is_needed: Bools | None = None,
    require_caller: Callable[[], None] = lambda: None,
) -> SellerPoints:
    """Compute the points of sellers now and at past midnights.

    `is_needed`: the midnights to compute, of shape (midnights, n), known or not; the others are 0. By default the
    policy's clear days are filled, and only midnights that the table does not know are computed.
    """
    n, known_midnights = len(seller_facts.sellers), seller_facts.table.midnights if is_needed is None else None
    if is_needed is None:
        is_needed = np.ones((policy.clear_days, n), dtype=np.bool_) if known_midnights is None else known_midnights < 0
    days = np.flatnonzero(is_needed.any(axis=1))
    step = max(MAX_CELLS // max(len(seller_facts.table), 1), policy.clear_days, 1)
    midnights, is_thin = np.zeros(is_needed.shape, dtype=np.int64), np.zeros(is_needed.shape, dtype=np.bool_)
    now_in_first: list[SellerPoints] = []
    for begin in range(0, max(len(days), 1), step):
        require_caller()
        chosen_days = days[begin : begin + step]
        views = seller_facts.view(((seller_facts.observe_time // DAY - chosen_days) * DAY).tolist())
        sums = artifact.folder.fold_views(views)
        past = slice(n, (len(chosen_days) + 1) * n)
        is_thin[chosen_days] = policy.is_thin(sums.total_orders[past], sums.tenure_days[past]).reshape(-1, n)
        end_views = 0 if begin else ENDS
        if end_views:
            sums = append_ends(sums, views.facts, n, artifact.prior, artifact.folder)
        is_chosen = np.pad(is_needed[chosen_days], ((1, 1 + end_views), (0, 0)), constant_values=True)
        identity_row = np.concatenate([views.identity_row, *[views.identity_row[:1]] * end_views])
        x, raw, points = compute_chosen_points(artifact, sums, is_chosen, identity_row, seller_facts.table.rows)
        midnights[chosen_days] = points[1 : len(chosen_days) + 1]
        if not begin:
            now, *_, upheld, low, high = points
            now_in_first.append(
                SellerPoints(views.facts, sums, x[:n], raw[:n], now, upheld, low, high, midnights, is_thin)
            )
    [first] = now_in_first
    return (
        first if known_midnights is None else replace(first, midnights=np.where(is_needed, midnights, known_midnights))
    )


def compute_chosen_points(
    artifact: Artifact, sums: Sums, is_chosen: Bools, identity_row: Ints, rows: Sequence[FactRow]
) -> tuple[Floats, Floats, Ints]:
    """Return (input, raw scores) of the chosen cases, and the points of all, 0 if not chosen.

    `is_chosen`, `identity_row` (place in `rows`, or -1) and the points have one shape, in the order of `sums`.
    """
    attributes = None
    if any(isinstance(feature, AttributeFeature) for feature in artifact.read_features):
        attributes = attributes_of(rows, identity_row[is_chosen].tolist())
    cases = None if is_chosen.all() else np.flatnonzero(is_chosen)
    x = matrix(sums, artifact.read_features, attributes, cases)
    raw = artifact.raw_score(x)
    points = np.zeros(is_chosen.shape, dtype=np.int64)
    points[is_chosen] = artifact.scale.points(raw)
    return x, raw, points
