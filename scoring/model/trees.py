"""The model text of LightGBM, read strictly: binary trees over finite numbers, nothing else.

A damaged text can crash LightGBM's own parser or load with other scores in silence, so it is read here first. Refused:
whatever is not a sum of numeric trees (categorical splits, linear leaves, missing-value branches, several classes), any
count that does not fit, any child that is not part of one tree, any number that is not finite.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.errors import ArtifactRefused

MAX_TREES = 25_000
MAX_LEAVES = 4_096
_FLOAT = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_HEAD = frozenset({"version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective"}) | {
    "feature_names",
    "monotone_constraints",
    "feature_infos",
    "tree_sizes",
}
_READ = {
    "num_leaves",
    "num_cat",
    "split_feature",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
}
_UNREAD = {
    "split_gain",
    "leaf_weight",
    "leaf_count",
    "internal_value",
    "internal_weight",
    "internal_count",
    "shrinkage",
}
_BLOCK = frozenset(_READ | _UNREAD | {"is_linear"})
_LOOSE = re.compile(r"-?([0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?|inf|nan)", re.ASCII)
_TAIL = re.compile(
    r"\n+(feature_importances:\n([!-<>-~]+=[0-9]+\n)*\n)?(parameters:\n(\[[a-z0-9_]+: [ -~]*\]\n)+\nend of parameters\n\n)?"
    r"(pandas_categorical:null\n?)?",
    re.ASCII,
)
_STRANGE = re.compile(r"[^\n -~]")
_PLAIN_DECISIONS = frozenset({0, 2})  # numeric, no missing-value branch; bit 1 is the default side, unused without one


@dataclass(frozen=True, slots=True)
class Tree:
    """One binary tree of n - 1 splits and n leaves.

    Child c >= 0 is a split, c < 0 is leaf `-c - 1` (LightGBM's `~c`). A case goes left at a split if its feature <= the
    threshold.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    leaf: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A parsed model: the names of its features, and its trees.

    The leaves of the trees are summed in order.
    """

    features: tuple[str, ...]
    trees: tuple[Tree, ...]


def parse_model(text: str) -> Model:
    """Parse the text of a LightGBM model into its trees.

    ArtifactRefused, naming the tree and the part, if the text is damaged, has several outputs or linear trees.
    """
    # LightGBM parts numbers by the blank alone, Python by a tab and others too: a text with one would be two models.
    if strange := _STRANGE.search(text):
        raise ArtifactRefused(f"the model text holds a character that does not belong there: {strange[0]!r}")
    head, *blocks = text.split("\nTree=")
    fields = _fields(head, _HEAD)
    if not head.startswith("tree\n") or ("linear_tree" in fields and fields["linear_tree"] != "0"):
        raise ArtifactRefused("the model text is not a LightGBM model of plain trees")
    if fields.get("num_class") != "1" or fields.get("num_tree_per_iteration") != "1":
        raise ArtifactRefused("the model has several outputs; only one is supported")
    names = tuple(fields.get("feature_names", "").split(" "))
    if _whole(fields.get("max_feature_idx", "-1"), "max_feature_idx") != len(names) - 1:
        raise ArtifactRefused("the model's feature names do not fit its number of features")
    sizes = _words(fields.get("tree_sizes", ""))
    if (
        not blocks
        or not 1 <= len(blocks) <= MAX_TREES
        or len(sizes) != len(blocks)
        or "\nend of trees" not in blocks[-1]
    ):
        raise ArtifactRefused("the model text is cut off, or its number of trees does not fit")
    blocks[-1], _, tail = blocks[-1].partition("\nend of trees")
    if not _TAIL.fullmatch(tail):  # without its end, LightGBM reads on beyond the text, and dies of it or not
        raise ArtifactRefused("what follows the trees of the model text is cut off or damaged")
    trees = []
    for index, (size, block) in enumerate(zip(sizes, blocks, strict=True)):
        number, _, rest = block.partition("\n")
        if number != str(index):
            raise ArtifactRefused(f"tree {index} of the model is missing or out of order")
        # LightGBM skips from tree to tree by these sizes, so a wrong one sends it astray.
        length = len("Tree=") + len(block.encode()) + 1
        if (index < len(blocks) - 1 and size != str(length)) or abs(_whole(size, "tree_sizes") - length) > 1:
            raise ArtifactRefused(f"the size of tree {index} of the model does not fit")
        trees.append(_tree(_fields(rest, _BLOCK), len(names), index))
    return Model(names, tuple(trees))


def evaluate(model: Model, rows: NDArray[np.float64]) -> list[float]:
    """Compute the raw scores of inputs in plain Python, tree by tree: a list of n numbers.

    `rows`: shape (n, features). By our own reading of the model text, to be compared with LightGBM's.
    """
    scores = []
    for row in rows.tolist():
        total = 0.0
        for tree in model.trees:
            node = 0 if tree.feature else -1
            while node >= 0:
                node = tree.left[node] if row[tree.feature[node]] <= tree.threshold[node] else tree.right[node]
            total += tree.leaf[-node - 1]
        scores.append(total)
    return scores


def _fields(block: str, known: frozenset[str]) -> dict[str, str]:
    """Return the `key=value` lines of a block. LightGBM takes the first of two lines with one key and reads numbers
    leniently, so anything that could be read in two ways is refused: unknown keys and keys twice.
    """
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        key, separator, value = line.partition("=")
        if not line or (not separator and key == "tree"):
            continue
        if not separator or key in fields or key not in known:
            raise ArtifactRefused(f"the model text has a line that does not belong there: {line[:40]!r}")
        fields[key] = value
    return fields


def _words(value: str) -> list[str]:
    """Return the words between single blanks."""
    return value.split(" ") if value else []


def _number(text: str, what: str) -> float:
    value = float(text) if _FLOAT.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ArtifactRefused(f"the model holds {text[:20]!r} in {what}, which is not a finite number")
    return value


def _whole(text: str, what: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ArtifactRefused(f"the model holds {text[:20]!r} in {what}, which is not a whole number")
    return int(text)


def _numbers(fields: Mapping[str, str], key: str, count: int, tree: int) -> tuple[float, ...]:
    texts = _words(fields.get(key, ""))
    if len(texts) != count:
        raise ArtifactRefused(f"{key} of tree {tree} of the model has {len(texts)} values instead of {count}")
    return tuple(_number(text, f"{key} of tree {tree}") for text in texts)


def _integers(fields: Mapping[str, str], key: str, count: int, tree: int) -> tuple[int, ...]:
    texts = _words(fields.get(key, ""))
    if len(texts) != count:
        raise ArtifactRefused(f"{key} of tree {tree} of the model has {len(texts)} values instead of {count}")
    return tuple(_whole(text, f"{key} of tree {tree}") for text in texts)


def _tree(fields: Mapping[str, str], features: int, index: int) -> Tree:
    leaves = _whole(fields.get("num_leaves", "0"), f"num_leaves of tree {index}")
    if not 1 <= leaves <= MAX_LEAVES or fields.get("num_cat") != "0" or fields.get("is_linear", "0") != "0":
        raise ArtifactRefused(f"tree {index} of the model is not a plain numeric tree")
    leaf = _numbers(fields, "leaf_value", leaves, index)
    for key in _UNREAD & fields.keys():  # LightGBM reads them, and ends the process over a word that is no number
        if not all(map(_LOOSE.fullmatch, _words(fields[key]))):
            raise ArtifactRefused(f"{key} of tree {index} of the model holds something else than numbers")
    if leaves == 1:
        return Tree((), (), (), (), leaf)
    splits = leaves - 1
    tree = Tree(
        feature=_integers(fields, "split_feature", splits, index),
        threshold=_numbers(fields, "threshold", splits, index),
        left=_integers(fields, "left_child", splits, index),
        right=_integers(fields, "right_child", splits, index),
        leaf=leaf,
    )
    if not set(_integers(fields, "decision_type", splits, index)) <= _PLAIN_DECISIONS:
        raise ArtifactRefused(f"tree {index} of the model splits on categories or missing values")
    if not all(0 <= feature < features for feature in tree.feature):
        raise ArtifactRefused(f"tree {index} of the model splits on a feature that does not exist")
    # Every split but the root, and every leaf, is the child of exactly one earlier split: then it is one tree.
    children = sorted(tree.left + tree.right)
    forward = all(child < 0 or child > node for side in (tree.left, tree.right) for node, child in enumerate(side))
    if children != [*range(-leaves, 0), *range(1, splits)] or not forward:
        raise ArtifactRefused(f"the splits of tree {index} of the model do not form a tree")
    return tree
