"""The model text of LightGBM, read strictly: binary trees over finite numbers, nothing else.

A damaged text can crash LightGBM's own parser or load with other scores in silence, so it is read here first. Refused:
whatever is not a sum of numeric trees (categorical splits, linear leaves, missing-value branches, several classes), any
count that does not fit, any child that is not part of one tree, any number that is not finite.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scoring.errors import ArtifactRefused

MAX_TREES = 10_000
MAX_LEAVES = 4_096
_PLAIN_DECISIONS = frozenset({0, 2})  # numeric, no missing-value branch; bit 1 is the default side, unused without one


@dataclass(frozen=True, slots=True)
class Tree:
    """One binary tree of n - 1 splits and n leaves. Child c >= 0 is a split, c < 0 is leaf `-c - 1` (LightGBM's `~c`).

    A case goes left at a split if its feature <= the threshold.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    leaf: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A parsed model: the names of its features, and its trees, whose leaves are summed in order."""

    features: tuple[str, ...]
    trees: tuple[Tree, ...]


def parse_model(text: str) -> Model:
    """Reads a model text. ArtifactRefused says which tree and which part is wrong."""
    head, *blocks = text.split("\nTree=")
    fields = _fields(head)
    if not head.startswith("tree\n") or ("linear_tree" in fields and fields["linear_tree"] != "0"):
        raise ArtifactRefused("the model text is not a LightGBM model of plain trees")
    if fields.get("num_class") != "1" or fields.get("num_tree_per_iteration") != "1":
        raise ArtifactRefused("the model has several outputs; only one is supported")
    names = tuple(fields.get("feature_names", "").split(" "))
    if int(_number(fields.get("max_feature_idx", "-1"), "max_feature_idx")) != len(names) - 1:
        raise ArtifactRefused("the model's feature names do not fit its number of features")
    sizes = fields.get("tree_sizes", "").split()
    if (
        not blocks
        or not 1 <= len(blocks) <= MAX_TREES
        or len(sizes) != len(blocks)
        or "\nend of trees" not in blocks[-1]
    ):
        raise ArtifactRefused("the model text is cut off, or its number of trees does not fit")
    blocks[-1] = blocks[-1].split("\nend of trees")[0]
    trees = []
    for index, (size, block) in enumerate(zip(sizes, blocks, strict=True)):
        number, _, rest = block.partition("\n")
        if number != str(index):
            raise ArtifactRefused(f"tree {index} of the model is missing or out of order")
        # LightGBM skips from tree to tree by these sizes, so a wrong one sends it astray.
        length = len("Tree=") + len(block.encode()) + 1
        if (index < len(blocks) - 1 and size != str(length)) or abs(int(_number(size, "tree_sizes")) - length) > 1:
            raise ArtifactRefused(f"the size of tree {index} of the model does not fit")
        trees.append(_tree(_fields(rest), len(names), index))
    return Model(names, tuple(trees))


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n") if "=" in line)


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArtifactRefused(f"the model holds {text[:20]!r} in {what}, which is not a finite number")
    return value


def _numbers(fields: Mapping[str, str], key: str, count: int, tree: int) -> tuple[float, ...]:
    texts = fields.get(key, "").split()
    if len(texts) != count:
        raise ArtifactRefused(f"{key} of tree {tree} of the model has {len(texts)} values instead of {count}")
    return tuple(_number(text, f"{key} of tree {tree}") for text in texts)


def _integers(fields: Mapping[str, str], key: str, count: int, tree: int) -> tuple[int, ...]:
    values = _numbers(fields, key, count, tree)
    if any(value != int(value) for value in values):
        raise ArtifactRefused(f"{key} of tree {tree} of the model holds a value that is not whole")
    return tuple(int(value) for value in values)


def _tree(fields: Mapping[str, str], features: int, index: int) -> Tree:
    leaves = int(_number(fields.get("num_leaves", "0"), f"num_leaves of tree {index}"))
    if not 1 <= leaves <= MAX_LEAVES or fields.get("num_cat") != "0" or fields.get("is_linear", "0") != "0":
        raise ArtifactRefused(f"tree {index} of the model is not a plain numeric tree")
    leaf = _numbers(fields, "leaf_value", leaves, index)
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
