"""An ensemble of seeds as one model text: the trees of all models, each leaf divided by the number of models.

The raw score of the one model is the mean of theirs, up to the rounding of sums. A mean of monotone models is monotone,
and the certificate, the golden vectors and the server see an ordinary model of plain trees.
"""

from collections.abc import Sequence

_LEAVES = "leaf_value="
_SIZES = "tree_sizes="
_END = "\nend of trees"


def average(texts: Sequence[str]) -> str:
    """Return the LightGBM text whose raw scores are the mean of those of the models `texts`.

    They must be plain models of the same features. The head and what follows the trees are the first one's, except for
    the sizes of trees. Worked: of two models with one leaf each, 1.0 and 2.0, it has the leaves 0.5 and 1.0, and scores
    1.5.
    """
    if len(texts) == 1:
        return texts[0]
    return _assembled(texts[0], [_divided(tree, len(texts)) for text in texts for tree in _trees(text)])


def prepend_trees(text: str, trees: Sequence[str]) -> str:
    """Return the model with further trees before its own: the raw score is the sum.

    `trees` come without their numbers; without any, the text stays as it is.
    """
    return _assembled(text, [*trees, *_trees(text)]) if trees else text


def _trees(text: str) -> list[str]:
    """Return the trees of a model, each without its number."""
    return [block.split("\n", 1)[1] for block in text.split(_END, 1)[0].split("\nTree=")[1:]]


def _assembled(text: str, trees: Sequence[str]) -> str:
    """Return the model text with other trees in place of its own."""
    head, after = text.partition("\nTree=")[0], text.split(_END, 1)[1]
    blocks = [f"Tree={place}\n{tree.rstrip()}\n\n" for place, tree in enumerate(trees)]
    # LightGBM skips from tree to tree by these sizes, each with the line break that follows it.
    sizes = " ".join(str(len(block.encode()) + 1) for block in blocks)
    lines = [_SIZES + sizes if line.startswith(_SIZES) else line for line in head.split("\n")]
    return "\n".join([*lines, *blocks]) + _END + after


def _divided(block: str, by: int) -> str:
    """Return a tree with its leaves divided.

    Python writes each so that it is read back to the same bits.
    """
    return "\n".join(_leaves(line, by) if line.startswith(_LEAVES) else line for line in block.split("\n"))


def _leaves(line: str, by: int) -> str:
    """Return a line of leaf values with each value divided."""
    return _LEAVES + " ".join(repr(float(text) / by) for text in line.removeprefix(_LEAVES).split(" "))
