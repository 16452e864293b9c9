"""Turn a fitted model into curves, and curves into the page's tables of whole points.

Every tree uses one feature, or one pair that the study names, so the model is a sum of step functions.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.canonical import JsonObject
from scoring.model.page import NEARLY_ZERO, Page, PointsTable, find_rows
from scoring.model.scale import POINTS_PER_LOGIT, Scale

MAX_STEPS = 12
"""Most rows of a table; of a pair, PAIR_STEPS of each feature."""
PAIR_STEPS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    features: tuple[int, ...]
    edges: tuple[Floats, ...]
    values: Floats

    def raw_scores(self, x: Floats) -> Floats:
        """Return what the curve adds to each row's log-odds of bad, for `x` of shape (n, all features)."""
        return np.asarray(self.values[find_rows(self.features, self.edges, x)], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """A fitted model: log-odds of bad over the reference exposure are the constant plus one value of each curve."""

    constant: float
    curves: tuple[Curve, ...]

    def raw_scores(self, x: Floats) -> Floats:
        """Return each row's log-odds of bad, before calibration: the constant plus every curve's value."""
        return self.constant + sum((curve.raw_scores(x) for curve in self.curves), np.zeros(len(x)))


def add_up_trees(
    constant: float, steps: Iterable[Curve], trees: Sequence[JsonObject], share: float, columns: int
) -> Curves:
    """Return the sum of a constant, of step functions of one feature each, and of `share` of each tree.

    `trees`: each `tree_structure` of LightGBM's `dump_model`; `columns`: the number of features.
    """
    by_features: dict[tuple[int, ...], list[JsonObject]] = defaultdict(list)
    for tree in trees:
        by_features[tuple(sorted({feature for feature, _ in _list_splits(tree)}))].append(tree)
    constant += share * sum(tree["leaf_value"] for tree in by_features.pop((), []))
    step_by_features = {step.features: step for step in steps}
    curves = []
    for features in sorted({*step_by_features, *by_features}):
        step, trees_of_features = step_by_features.get(features), by_features[features]
        edges = []
        for place in features:
            cuts = {cut for tree in trees_of_features for feature, cut in _list_splits(tree) if feature == place}
            if step is not None:
                cuts |= set(step.edges[0].tolist())
            edges.append(np.unique([cut if abs(cut) > NEARLY_ZERO else 0.0 for cut in cuts]))
        grid = _make_grid(edges)
        # Trees store the edge 0 as a number next to it.
        axes = {place: np.where(axis == 0, NEARLY_ZERO, axis) for place, axis in zip(features, grid, strict=True)}
        values = sum(
            (share * _evaluate_tree(tree, axes) for tree in trees_of_features),
            np.zeros([len(axis_edges) + 1 for axis_edges in edges]),
        )
        if step is not None:
            x = np.zeros((len(values), columns))
            x[:, features[0]] = grid[0]
            values = values + step.raw_scores(x)
        curves.append(Curve(features, tuple(edges), values))
    return Curves(constant, tuple(curves))


def _make_grid(edges: Sequence[Floats]) -> list[Floats]:
    """Return, by feature, one value in each interval between edges, as axes that broadcast."""
    return list(np.ix_(*[np.append(cuts, np.inf) for cuts in edges]))


def _list_splits(node: JsonObject) -> list[tuple[int, float]]:
    """List (feature, threshold) of every split of a tree."""
    if "leaf_value" in node:
        return []
    split = (int(node["split_feature"]), float(node["threshold"]))
    return [split, *_list_splits(node["left_child"]), *_list_splits(node["right_child"])]


def _evaluate_tree(node: JsonObject, axes: Mapping[int, Floats]) -> Any:
    """Return the values of a tree over a grid."""
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = _evaluate_tree(node["left_child"], axes), _evaluate_tree(node["right_child"], axes)
    return np.where(axes[node["split_feature"]] <= node["threshold"], left, right)


def make_page(
    model: Curves, intercept: float, slope: float, x: Floats, weight: Floats, reference: Mapping[int, float]
) -> Page:
    """Return the page of a calibrated model: logit p = intercept + slope * raw score, in whole points.

    Points are deductions from each curve's best value, which goes into the base. Curves are cut to MAX_STEPS with the
    least loss over the rows `x`; `weight`: each row's weight times p (1 - p). `reference`: by column, the fixed value
    of a context feature when served; its points go into the base.
    """
    tables, constant = [], intercept + slope * model.constant
    for curve in model.curves:
        if curve.features[0] in reference:  # a context feature has a curve of its own
            inputs = np.full((1, x.shape[1]), reference[curve.features[0]])
            constant += slope * float(curve.raw_scores(inputs)[0])
            continue
        edges, values = _join_steps(curve, x, weight)
        best = float(values.min())
        constant += slope * best
        points = np.rint(POINTS_PER_LOGIT * slope * (best - values)).astype(np.int64)
        if points.min() < 0:
            tables.append(_drop_equal_rows(PointsTable(curve.features, edges, points)))
    return Page(Scale.base_of(constant), tuple(tables))


def _join_steps(curve: Curve, x: Floats, weight: Floats) -> tuple[tuple[Floats, ...], Floats]:
    """Return (edges, values) of a curve of at most MAX_STEPS rows, near it where rows have weight."""
    rows = find_rows(curve.features, curve.edges, x)
    shares = [
        np.bincount(axis_rows, weight, len(cuts) + 1) + 1e-9 * weight.sum()
        for axis_rows, cuts in zip(rows, curve.edges, strict=True)
    ]
    values, edges = curve.values, []
    is_pair = values.ndim > 1
    for axis, place in enumerate(curve.features):
        profile = np.average(values, axis=1 - axis, weights=shares[1 - axis]) if is_pair else values
        starts = split_into_runs(profile, shares[axis], PAIR_STEPS if is_pair else MAX_STEPS)
        factors = np.expand_dims(shares[axis], 1 - axis) if is_pair else shares[axis]
        values = np.add.reduceat(values * factors, starts, axis=axis) / np.add.reduceat(factors, starts, axis=axis)
        shares[axis] = np.add.reduceat(shares[axis], starts)
        edges.append(_round_edges(curve.edges[axis][starts[1:] - 1], np.unique(x[:, place])))
    return tuple(edges), values


def split_into_runs(values: Floats, weight: Floats, most: int) -> Ints:
    """Return the first places of at most `most` runs of values, with the least weighted squares about their means.

    Worked: 1, 1, 5, 6 in two runs begin at 0 and 2.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    mass, first, second = (np.append(0.0, np.cumsum(weight * values**power)) for power in (0, 1, 2))
    run_mass = np.where(np.tri(count + 1, dtype=bool), np.inf, mass[None, :] - mass[:, None])
    cost = second[None, :] - second[:, None] - (first[None, :] - first[:, None]) ** 2 / run_mass
    cost[np.isinf(run_mass)] = np.inf
    best, best_starts = cost[0], []
    for _ in range(most - 1):
        total = best[:, None] + cost
        best_starts.append(total.argmin(axis=0))
        best = total.min(axis=0)
    starts, end = [], count
    for start_by_end in reversed(best_starts):
        end = int(start_by_end[end])
        starts.append(end)
    return np.array([0, *reversed(starts)], dtype=np.int64)


def _round_edges(edges: Floats, seen: Floats) -> Floats:
    """Return each edge with the fewest digits that part the values seen as before."""
    rounded: list[float] = []
    for edge, following in pairwise([*edges.tolist(), np.inf]):
        place = int(np.searchsorted(seen, edge, side="right"))
        low = max(
            [*seen[max(place - 1, 0) : place].tolist(), *(np.nextafter(last, np.inf) for last in rounded[-1:])],
            default=edge,
        )
        high = min([*seen[place : place + 1].tolist(), following])
        candidates = (float(f"{edge:.{digits}g}") for digits in range(1, 17))
        rounded.append(next((number for number in candidates if low <= number < high), edge))
    return np.array(rounded, dtype=np.float64)


def _drop_equal_rows(table: PointsTable) -> PointsTable:
    """Return the table without the edges beside which all points are equal."""
    points, edges = table.points, []
    for axis, edges_of_axis in enumerate(table.edges):
        differs = (np.diff(points, axis=axis) != 0).any(axis=tuple(k for k in range(points.ndim) if k != axis))
        differs[:1] |= not differs.any()
        edges.append(edges_of_axis[differs])
        points = points.compress(np.append(True, differs), axis=axis)
    return PointsTable(table.features, tuple(edges), points)
