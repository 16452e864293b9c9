"""The page: a model as tables of whole points, one per feature, that a person can add up.

Points are the base plus one row of each table; the best row has 0. The model text states the same for LightGBM, one
tree per table with the signs turned.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.errors import ArtifactRefused

MAX_LOSS = 100_000

BLOCK_ROWS = 2_048
"""Inputs looked up at once: a few megabytes."""

MAX_TEXT = 1 << 20
"""Characters of a model text: twelve rows of each feature take a few thousand."""

NEARLY_ZERO = float(np.float32(1e-35))
"""LightGBM takes inputs up to this, of either sign, as 0."""


@dataclass(frozen=True, slots=True, eq=False)
class PointsTable:
    """The points that one feature, or a pair, takes from the base.

    A value belongs to the first row whose edge it does not exceed; beyond all edges to the last row.
    """

    features: tuple[int, ...]
    """Columns; of a pair first the feature with the points."""
    edges: tuple[Floats, ...]
    """By feature, the rising upper ends of rows but the last."""
    points: Ints
    """At most 0; of a pair of shape (rows of the first feature, rows of the second)."""

    def look_up(self, x: Floats) -> Ints:
        """Return the points (at most 0) that this table takes from the base, by input row."""
        return np.asarray(self.points[find_rows(self.features, self.edges, x)], dtype=np.int64)


def find_rows(features: Sequence[int], edges: Sequence[Floats], x: Floats) -> tuple[Ints, ...]:
    """Return in which row of its table each input falls, one index array for each of `features` (columns of `x`)."""
    values = (np.where(np.abs(x[:, column]) > NEARLY_ZERO, x[:, column], 0.0) for column in features)
    return tuple(
        np.searchsorted(edges_of_feature, value) for edges_of_feature, value in zip(edges, values, strict=True)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """`base`: the points with the best row of every table."""

    base: int
    tables: tuple[PointsTable, ...]
    _single: tuple[Ints, Floats, Ints] = field(init=False, repr=False)
    """Tables of one feature: column, and padded edges and points, one line per table."""

    def __post_init__(self) -> None:
        single = [table for table in self.tables if len(table.features) == 1]
        width = max((table.points.size for table in single), default=1)
        edges, points = np.full((len(single), width - 1), np.inf), np.zeros((len(single), width), dtype=np.int64)
        for line, table in enumerate(single):
            edges[line, : table.points.size - 1], points[line, : table.points.size] = table.edges[0], table.points
        columns = np.array([table.features[0] for table in single], dtype=np.int64)
        object.__setattr__(self, "_single", (columns, edges, points))

    @property
    def rows(self) -> int:
        return sum(table.points.size for table in self.tables)

    def raw_score(self, x: Floats) -> Floats:
        """Return the points that all tables take from the base, at least 0: higher is worse."""
        return np.asarray(-self.parts(x).sum(axis=1), dtype=np.float64)

    def parts(self, x: Floats) -> Ints:
        """Return each feature's points, at most 0, of the shape of the inputs, (n, features)."""
        parts = np.zeros(x.shape, dtype=np.int64)
        columns, edges, points = self._single
        for begin in range(0, len(x), BLOCK_ROWS):  # all tables at once: one by one takes five times as long
            part = x[begin : begin + BLOCK_ROWS, columns]
            row = (np.where(np.abs(part) > NEARLY_ZERO, part, 0.0)[:, :, None] > edges).sum(axis=2)
            parts[begin : begin + BLOCK_ROWS, columns] = points[np.arange(len(columns)), row]
        for table in self.tables:
            if len(table.features) > 1:
                parts[:, table.features[0]] += table.look_up(x)
        return parts


def page_model_text(tables: Sequence[PointsTable], features: int) -> str:
    """Return the tables in LightGBM's text format; its prediction is the sum with the sign turned."""
    blocks = [f"Tree={number}\n{_write_tree(table)}\n\n" for number, table in enumerate(tables)]
    head = {
        "version": "v4",
        "num_class": 1,
        "num_tree_per_iteration": 1,
        "label_index": 0,
        "max_feature_idx": features - 1,
        "objective": "regression",
        "feature_names": " ".join(f"Column_{place}" for place in range(features)),
        "feature_infos": " ".join(["[-1e+300:1e+300]"] * features),
        # LightGBM skips from tree to tree by these sizes.
        "tree_sizes": " ".join(str(len(block)) for block in blocks),
    }
    lines = "".join(f"{key}={value}\n" for key, value in head.items())
    return f"tree\n{lines}\n{''.join(blocks)}end of trees\n\npandas_categorical:null\n"


def _write_tree(table: PointsTable) -> str:
    splits: list[tuple[int, float]] = []
    left_child: list[int] = []
    right_child: list[int] = []
    leaves_of_row = table.points[0].size if len(table.features) > 1 else 1

    def split(depth: int, first: int, last: int, leaf: int) -> int:
        """Add the splits between rows; return the node, or -1 less the leaf."""
        if first == last:
            begin = leaf + first * (leaves_of_row if depth == 0 else 1)
            if depth + 1 < len(table.features):
                return split(depth + 1, 0, len(table.edges[depth + 1]), begin)
            return -begin - 1
        node, middle = len(splits), (first + last) // 2
        splits.append((table.features[depth], float(table.edges[depth][middle])))
        left_child.append(0)
        right_child.append(0)
        left_child[node] = split(depth, first, middle, leaf)
        right_child[node] = split(depth, middle + 1, last, leaf)
        return node

    split(0, 0, len(table.edges[0]), 0)
    leaves, nodes = table.points.size, len(splits)
    lines: Mapping[str, Sequence[object]] = {
        "num_leaves": [leaves],
        "num_cat": [0],
        "split_feature": [feature for feature, _ in splits],
        "split_gain": [0] * nodes,
        "threshold": [repr(threshold) for _, threshold in splits],
        "decision_type": [2] * nodes,
        "left_child": left_child,
        "right_child": right_child,
        "leaf_value": (-table.points).ravel().tolist(),
        "leaf_weight": [0] * leaves,
        "leaf_count": [0] * leaves,
        "internal_value": [0] * nodes,
        "internal_weight": [0] * nodes,
        "internal_count": [0] * nodes,
        "is_linear": [0],
        "shrinkage": [1],
    }
    return "\n".join(f"{key}={' '.join(map(str, values))}" for key, values in lines.items())


def read_page(text: str, base: int, features: int) -> Page:
    """Read the page back from its model text, with the given number of inputs.

    Raise ArtifactRefused if the text differs at all from `page_model_text`'s.
    """
    if len(text) > MAX_TEXT:
        raise ArtifactRefused(f"the model text is too long for a page: {len(text):,} characters, {MAX_TEXT:,} at most")
    tables = tuple(_read_table(number, block) for number, block in enumerate(text.split("\nTree=")[1:]))
    places = [table.features for table in tables]
    if not places or any(before >= after for before, after in pairwise(places)):
        raise ArtifactRefused("the model must have one tree for each feature that counts, in the order of the features")
    if page_model_text(tables, features) != text or max(map(max, places)) >= features:
        raise ArtifactRefused("the model text holds something else than one tree of whole points for each feature")
    return Page(base, tables)


def _read_table(number: int, block: str) -> PointsTable:
    used, thresholds, leaves = (_read_words(block, key) for key in ("split_feature", "threshold", "leaf_value"))
    names = tuple(dict.fromkeys(used))
    if len(names) > 2:
        raise ArtifactRefused(
            f"tree {number} of the model uses {len(names)} features; it must use one, or two that the study names as a pair"
        )
    if wrong := next((leaf for leaf in leaves if not _LEAF.fullmatch(leaf)), None):
        raise ArtifactRefused(
            f"tree {number} of the model has the leaf {wrong[:20]!r}, which is no whole number of points"
        )
    points = -np.array(leaves, dtype=np.int64)
    try:
        cuts = [
            {float(cut) for cut, name in zip(thresholds, used, strict=True) if name == feature_name}
            for feature_name in names
        ]
        table = PointsTable(
            tuple(map(int, names)),
            tuple(np.array(sorted(of_feature)) for of_feature in cuts),
            points.reshape([len(of_feature) + 1 for of_feature in cuts]),
        )
    except ValueError:
        table = None
    if table is None or not names or not np.isfinite(np.concatenate(table.edges)).all():
        raise ArtifactRefused(f"tree {number} of the model is no table: its splits and leaves do not fit together")
    if points.max() != 0 or points.min() < -MAX_LOSS:
        raise ArtifactRefused(f"the points of tree {number} of the model must be 0 at best, and {-MAX_LOSS} at worst")
    return table


_LEAF = re.compile(r"-?[0-9]{1,9}", re.ASCII)


def _read_words(block: str, key: str) -> list[str]:
    line = re.search(rf"^{key}=(.*)$", block, re.MULTILINE)
    return line[1].split(" ") if line and line[1] else []
