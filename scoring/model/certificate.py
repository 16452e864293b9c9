"""The certificate: an exact proof that a model is monotone in every feature that has a direction.

Two leaves of a tree are reached by inputs that differ in feature f alone if and only if their lowest common ancestor
splits on f and their boxes overlap in every other feature. So for each split on f, the leaves of its low side are
compared with those of its high side, pruned by the smallest and largest leaf below each node. The result is exact for
a tree; a sum of monotone trees is monotone, in floating point too (IEEE addition is monotone, the order is fixed).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from scoring.errors import ArtifactRefused
from scoring.model.trees import Model, Tree, parse_model

ALGORITHM = "exact-leaf-pairs@1"
Box = Mapping[int, tuple[float, float]]  # feature -> (low, high], missing: unbounded


@dataclass(frozen=True, slots=True)
class Breach:
    """A place where a tree is not monotone.

    Two neighbouring leaves stand in the wrong order by `amount` of raw score.
    """

    tree: int
    feature: int
    amount: float


def certify(model_text: str, directions: Mapping[str, int]) -> dict[str, object]:
    """Prove that a model is monotone; return the certificate as JSON values.

    `directions`: by key of feature, in the order of the model's inputs: +1 (more is better) must never raise the raw
    score (log-odds of bad), -1 never lower it, 0 is free. ArtifactRefused names the first breach.
    """
    model = parse_model(model_text)
    breaches = find_breaches(model, tuple(directions.values()))
    if breaches:
        first = breaches[0]
        raise ArtifactRefused(
            f"the model is not monotone: tree {first.tree} moves the raw score by {first.amount:.6g} the wrong way in"
            f" {list(directions)[first.feature]};"
            " train with monotone constraints of method 'intermediate' and without missing values"
        )
    return {
        "algorithm": ALGORITHM,
        "model_sha256": sha256(model_text.encode()).hexdigest(),
        "trees": len(model.trees),
        "directions": dict(directions),
    }


def find_breaches(model: Model, directions: Sequence[int]) -> list[Breach]:
    """Find every (tree, feature) that is not monotone in its direction, with its largest breach.

    `directions`: +1, -1 or 0 (free) of each feature. ArtifactRefused if they are not as many as the model's features.
    """
    if len(directions) != len(model.features):
        raise ArtifactRefused(f"the model has {len(model.features)} features, its directions are {len(directions)}")
    found = []
    for index, tree in enumerate(model.trees):
        if not tree.feature:
            continue
        bounds = _bounds(tree)
        for feature in sorted(set(tree.feature)):
            if directions[feature]:
                amount = _breach(tree, feature, -directions[feature], bounds)
                if amount > 0:
                    found.append(Breach(index, feature, amount))
    return found


def _bounds(tree: Tree) -> dict[int, tuple[float, float]]:
    """Return the smallest and largest leaf below every node.

    Children have larger numbers than their parent (`parse_model`).
    """
    bounds = {-leaf - 1: (value, value) for leaf, value in enumerate(tree.leaf)}
    for node in reversed(range(len(tree.feature))):
        low, high = bounds[tree.left[node]], bounds[tree.right[node]]
        bounds[node] = (min(low[0], high[0]), max(low[1], high[1]))
    return bounds


def _breach(tree: Tree, feature: int, sign: int, bounds: Mapping[int, tuple[float, float]]) -> float:
    """Return how far the raw score moves against `sign` when `feature` alone rises.

    0 if it never does.
    """
    worst = 0.0
    for node, split in enumerate(tree.feature):
        if split != feature:
            continue
        pairs: list[tuple[int, int, Box]] = [(tree.left[node], tree.right[node], {})]
        while pairs:
            low, high, box = pairs.pop()
            # With sign +1 no leaf of the low side may exceed one of the high side; with -1 the other way round.
            gap = bounds[low][1] - bounds[high][0] if sign > 0 else bounds[high][1] - bounds[low][0]
            if gap <= worst:
                continue
            if low < 0 and high < 0:
                worst = gap
                continue
            node_to_open, low_side = (low, True) if low >= 0 else (high, False)
            for child, part in _halves(tree, node_to_open, feature, box):
                pairs.append((child, high, part) if low_side else (low, child, part))
    return worst


def _halves(tree: Tree, node: int, feature: int, box: Box) -> list[tuple[int, Box]]:
    """Return the children of a node, each with its part of the box.

    Those that no input of the box reaches are left out.
    """
    split, threshold = tree.feature[node], tree.threshold[node]
    if split == feature:
        return [(tree.left[node], box), (tree.right[node], box)]
    low, high = box.get(split, (float("-inf"), float("inf")))
    halves: list[tuple[int, Box]] = []
    if low < threshold:
        halves.append((tree.left[node], {**box, split: (low, min(high, threshold))}))
    if high > threshold:
        halves.append((tree.right[node], {**box, split: (max(low, threshold), high)}))
    return halves
