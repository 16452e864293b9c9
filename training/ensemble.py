"""An ensemble of seeds as one model text: the trees of all, each leaf divided by their number.

The raw score of the one model is the mean of theirs, up to the rounding of sums. A mean of monotone models is monotone,
and the certificate, the golden vectors and the server see an ordinary model of plain trees.
"""

from collections.abc import Sequence

_LEAVES = "leaf_value="
_SIZES = "tree_sizes="
_END = "\nend of trees"


def average(texts: Sequence[str]) -> str:
    """The LightGBM text whose raw scores are the mean of those of `texts`: plain models of the same features.

    The head and what follows the trees are the first one's, but for the sizes of trees. Worked: of two models with one leaf
    each, 1.0 and 2.0, it has the leaves 0.5 and 1.0, and says 1.5.
    """
    if len(texts) == 1:
        return texts[0]
    head, _, _ = texts[0].partition("\nTree=")
    after = texts[0].split(_END, 1)[1]
    blocks = [block for text in texts for block in text.split(_END, 1)[0].split("\nTree=")[1:]]
    trees = [f"Tree={place}\n{_divided(block, len(texts))}" for place, block in enumerate(blocks)]
    # LightGBM skips from tree to tree by these sizes, each with the line break that follows it.
    sizes = " ".join(str(len(tree.encode()) + 1) for tree in trees)
    lines = [_SIZES + sizes if line.startswith(_SIZES) else line for line in head.split("\n")]
    return "\n".join([*lines, *trees]) + _END + after


def _divided(block: str, by: int) -> str:
    """A tree without its number, its leaves divided; Python writes each so that it is read back to the same bits."""
    lines = block.split("\n")[1:]
    return "\n".join(_leaves(line, by) if line.startswith(_LEAVES) else line for line in lines)


def _leaves(line: str, by: int) -> str:
    return _LEAVES + " ".join(repr(float(text) / by) for text in line.removeprefix(_LEAVES).split(" "))
