"""The certificate is exact: brute force agrees with it, and the ways LightGBM breaks its own constraints are caught."""

import itertools
import json
import re
import time

import lightgbm
import numpy as np
import pytest

from scoring.errors import ArtifactRefused
from scoring.model.certificate import certify, find_breaches
from scoring.model.trees import Model, Tree, evaluate, parse_model
from tests.bench._certificates import trained

KEYS = ("a@1", "b@1", "c@1")


def fitted(seed: int, rounds: int = 3, **parameters: object) -> lightgbm.Booster:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, 3)).round(1)
    y = (x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + rng.normal(size=400) > 0).astype(float)
    settings = {"objective": "binary", "verbosity": -1, "num_leaves": 8, "min_data_in_leaf": 5, "num_threads": 1}
    return lightgbm.train({**settings, **parameters}, lightgbm.Dataset(x, y), rounds)


def leaf(tree: Tree, x: tuple[float, ...]) -> float:
    if not tree.feature:
        return tree.leaf[0]
    node = 0
    while node >= 0:
        node = tree.left[node] if x[tree.feature[node]] <= tree.threshold[node] else tree.right[node]
    return tree.leaf[-node - 1]


def brute_force_breach(tree: Tree, feature: int, sign: int, features: int) -> float:
    """The largest step the wrong way over a grid with one point in every cell of the tree."""
    cuts = [sorted({t for f, t in zip(tree.feature, tree.threshold, strict=True) if f == i}) for i in range(features)]
    grid = [[*c, c[-1] + 1.0] if c else [0.0] for c in cuts]
    worst = 0.0
    for x in itertools.product(*grid):
        below = leaf(tree, x)
        for value in grid[feature]:
            if value > x[feature]:
                above = leaf(tree, (*x[:feature], value, *x[feature + 1 :]))
                worst = max(worst, sign * (below - above))
    return worst


@pytest.mark.parametrize("seed", range(12))
def test_the_certificate_finds_exactly_the_breach_that_brute_force_finds(seed: int) -> None:
    """Every tree, every feature, both directions; the size of the breach too."""
    model = parse_model(fitted(seed).model_to_string())
    for tree in model.trees:
        alone = Model(model.features, (tree,))
        for feature, direction in itertools.product(range(3), (+1, -1)):
            directions = [direction if f == feature else 0 for f in range(3)]
            found = find_breaches(alone, directions)
            amount = found[0].amount if found else 0.0
            assert amount == pytest.approx(brute_force_breach(tree, feature, -direction, 3), abs=1e-15)


def test_a_monotone_model_is_certified_and_one_that_is_not_is_refused() -> None:
    """With constraints the certificate is given; without, it names the feature and the way out."""
    good = fitted(1, 40, monotone_constraints=[1, -1, 0], monotone_constraints_method="intermediate")
    certificate = certify(good.model_to_string(), dict(zip(KEYS, (-1, +1, 0), strict=True)))
    assert certificate["trees"] == 40
    with pytest.raises(ArtifactRefused, match="not monotone"):
        certify(fitted(1, 40).model_to_string(), dict(zip(KEYS, (-1, +1, 0), strict=True)))


def random_tree(rng: np.random.Generator, leaves: int, features: int) -> Tree:
    """A tree of random splits on a grid of 7 thresholds, each within what reaches it, so that every leaf is reached.

    Half of the trees have leaves that rise with a feature's midpoint, but for one: many features are monotone, few breach.
    """
    feature, threshold, left, right = [], [], [], []
    boxes: list[dict[int, tuple[float, float]]] = [{}]
    open_leaves = {0: (-1, True)}  # leaf -> (its parent, whether it is the low child)
    while len(boxes) < leaves:
        leaf_number = int(rng.choice(sorted(open_leaves)))
        split = int(rng.integers(features))
        low, high = boxes[leaf_number].get(split, (0.0, 8.0))
        cuts = np.arange(low + 1, high)
        if not len(cuts):
            continue
        cut = float(rng.choice(cuts))
        parent, is_low = open_leaves[leaf_number]
        node, new = len(feature), len(boxes)
        if parent >= 0:
            (left if is_low else right)[parent] = node
        feature.append(split)
        threshold.append(cut)
        left.append(-leaf_number - 1)
        right.append(-new - 1)
        boxes.append({**boxes[leaf_number], split: (cut, high)})
        boxes[leaf_number] = {**boxes[leaf_number], split: (low, cut)}
        open_leaves |= {leaf_number: (node, True), new: (node, False)}
    if rng.random() < 0.5:
        slope = rng.integers(-1, 2, features)
        values = [sum(slope[f] * sum(box.get(f, (0.0, 8.0))) for f in range(features)) for box in boxes]
        values[int(rng.integers(leaves))] += int(rng.integers(-3, 4))
    else:
        values = rng.integers(-3, 4, leaves).tolist()
    return Tree(tuple(feature), tuple(threshold), tuple(left), tuple(right), tuple(float(value) for value in values))


def test_over_hundreds_of_random_trees_the_breaches_are_those_of_brute_force() -> None:
    """500 trees of 2 to 14 leaves over 1 to 4 features, ties too; some features of some trees breach, others do not."""
    rng = np.random.default_rng(17)
    breaching = clean = 0
    for _ in range(500):
        features = int(rng.integers(1, 5))
        tree = random_tree(rng, int(rng.integers(2, min(14, 7 * features) + 1)), features)
        model = Model(tuple(f"f{i}" for i in range(features)), (tree,))
        for feature, direction in itertools.product(range(features), (+1, -1)):
            found = find_breaches(model, [direction if f == feature else 0 for f in range(features)])
            expected = brute_force_breach(tree, feature, -direction, features)
            assert [breach.amount for breach in found] == ([expected] if expected else [])
            assert [breach.feature for breach in found] == ([feature] if expected else [])
            breaching, clean = breaching + bool(expected), clean + (not expected)
    assert min(breaching, clean) > 500


CONSTRAINTS = (1, -1, 1, 0)
DIRECTIONS = dict(zip((*KEYS, "free@1"), (-1, +1, -1, 0), strict=True))


def sample(seed: int, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).round(1)
    raw = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + x[:, 3]
    return x, (raw + rng.normal(size=rows) > 0).astype(float)


def constrained(x: np.ndarray, bad: np.ndarray, **parameters: object) -> lightgbm.Booster:
    """A model trained under monotone constraints, by the method that keeps them unless a parameter says otherwise."""
    settings = {
        "objective": "binary", "verbosity": -1, "num_leaves": 15, "min_data_in_leaf": 5, "num_threads": 1, "seed": 1,
        "monotone_constraints": list(CONSTRAINTS), "monotone_constraints_method": "intermediate",
    }  # fmt: skip
    return lightgbm.train({**settings, **parameters}, lightgbm.Dataset(x, bad), 60)


def worst_step(booster: lightgbm.Booster, x: np.ndarray) -> float:
    """How far LightGBM's own raw score moves the wrong way when one constrained feature of a row rises."""
    worst = 0.0
    values = np.sort(np.random.default_rng(0).normal(size=30))
    for feature, sign in enumerate(CONSTRAINTS[:3]):
        moved = np.repeat(x[:100, None], len(values), axis=1)
        moved[:, :, feature] = values
        raw = sign * booster.predict(moved.reshape(-1, 4), raw_score=True).reshape(100, -1)
        worst = max(worst, float((np.maximum.accumulate(raw, axis=1) - raw).max()))
    return worst


def breaches(booster: lightgbm.Booster) -> float:
    """The largest breach the certificate finds in a tree; 0 if it is certified."""
    found = find_breaches(parse_model(booster.model_to_string()), tuple(DIRECTIONS.values()))
    return max((breach.amount for breach in found), default=0.0)


def assert_caught(booster: lightgbm.Booster, x: np.ndarray, at_least: float) -> None:
    """LightGBM's own scores go the wrong way, the certificate finds where, and the model is refused by a feature's name."""
    assert worst_step(booster, x) > at_least
    assert breaches(booster) > at_least / 3
    with pytest.raises(ArtifactRefused, match=r"tree \d+ moves the raw score by [0-9.]+ the wrong way in [abc]@1"):
        certify(booster.model_to_string(), DIRECTIONS)


@pytest.mark.parametrize("method", ["basic", "intermediate"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5},
        {"extra_trees": True},
        {"lambda_l1": 2.0},
    ],
    ids=["plain", "sampled", "extra trees", "L1"],
)
def test_what_keeps_the_constraints_is_certified(method: str, parameters: dict[str, object]) -> None:
    """The certificate is no refusal of everything: these never move the wrong way, and it finds none."""
    x, bad = sample(1)
    booster = constrained(x, bad, monotone_constraints_method=method, **parameters)
    assert worst_step(booster, x) == 0
    assert breaches(booster) == 0


@pytest.mark.parametrize("labels", ["of the same kind", "turned round"])
def test_a_refitted_model_that_lost_its_constraints_is_caught(labels: str) -> None:
    """Booster.refit sets leaves without regard to the constraints it was trained with, on honest data too."""
    x, bad = sample(1)
    again, outcome = sample(51)
    if labels == "turned round":
        outcome = (again[:, 0] < 0).astype(float)
    assert_caught(constrained(x, bad).refit(again, outcome, decay_rate=0.0), x, 1.0)


def test_forced_splits_that_ignore_the_constraints_are_caught(tmp_path) -> None:
    """The splits are where they were ordered, and their leaves where the data wants them."""
    forced = tmp_path / "forced.json"
    low, high = ({"feature": 2, "threshold": threshold} for threshold in (-0.5, 0.7))
    forced.write_text(json.dumps({"feature": 2, "threshold": 0.0, "left": low, "right": high}))
    x, bad = sample(1)
    assert_caught(constrained(x, bad, forcedsplits_filename=str(forced)), x, 1.0)


def test_path_smoothing_that_moves_leaves_past_each_other_is_caught() -> None:
    """Leaves are drawn towards their parents after the constraints were looked at."""
    x, bad = sample(3)
    assert_caught(constrained(x, bad, path_smooth=300, num_leaves=31, learning_rate=0.3), x, 0.05)


def test_leaves_renewed_after_quantized_training_are_caught() -> None:
    """As a refit of every tree."""
    x, bad = sample(1)
    assert_caught(constrained(x, bad, use_quantized_grad=True, quant_train_renew_leaf=True), x, 0.1)


def test_the_advanced_method_with_missing_values_moves_the_wrong_way_and_is_refused_as_it_is() -> None:
    """A model with a branch for what is missing is not read at all, so it needs no certificate to be refused."""
    x, bad = sample(1)
    x[np.random.default_rng(2).random(x.shape) < 0.2] = np.nan
    booster = constrained(x, bad, monotone_constraints_method="advanced")
    assert worst_step(booster, x) > 0.05
    with pytest.raises(ArtifactRefused, match="missing values"):
        certify(booster.model_to_string(), DIRECTIONS)


def test_a_thousand_trees_are_certified_in_five_seconds() -> None:
    """Of 60 features and 31 leaves, in processor time; 0.12 s when this was written."""
    text, directions = trained(31, rounds=100, rows=4000)
    started = time.process_time()
    certificate = certify(text, directions)
    assert (time.process_time() - started) * 1000 / certificate["trees"] < 5


@pytest.mark.parametrize(
    ("part", "forged"),
    [
        ("leaf_value={}", "leaf_value=9 8 7 6 5 4 3 2\nleaf_value={}"),
        ("leaf_value={}", "leaf_value={} 1_0"),
        ("leaf_value={}", "leaf_value=\uff11\uff10 {}"),
        ("num_leaves={}", "num_leaves={}.9"),
        ("num_cat={}", "num_cat={}\nnot_a_key=1"),
    ],
)
def test_a_text_that_lightgbm_would_read_otherwise_is_refused(part: str, forged: str) -> None:
    """Keys twice, Python's own ways to write numbers, digits of other scripts, keys that nobody knows."""
    text = fitted(2).model_to_string()
    key = part.split("=", maxsplit=1)[0]
    value = re.search(rf"^{key}=(.*)$", text, re.MULTILINE)
    assert value is not None
    mutant = text.replace(value.group(0), forged.format(value.group(1)), 1)
    with pytest.raises(ArtifactRefused):
        parse_model(mutant)


def test_our_own_reading_of_the_text_gives_lightgbms_scores_to_the_bit() -> None:
    """What is certified is what is computed."""
    booster = fitted(4, 50)
    x = np.random.default_rng(9).normal(size=(300, 3))
    assert evaluate(parse_model(booster.model_to_string()), x) == booster.predict(x, raw_score=True).tolist()


def test_no_mutation_of_the_model_text_gets_past_the_reader_as_something_else_than_a_tree() -> None:
    """2,000 random edits: each is refused or still reads as a sum of finite numeric trees; none raises anything else."""
    text = fitted(2).model_to_string()
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(2000):
        place = int(rng.integers(0, len(text) - 1))
        kind = rng.integers(0, 4)
        mutant = {
            0: text[:place],
            1: text[:place] + chr(int(rng.integers(32, 127))) + text[place + 1 :],
            2: text[:place] + text[place + int(rng.integers(1, 50)) :],
            3: text[:place] + "nan" + text[place:],
        }[int(kind)]
        try:
            model = parse_model(mutant)
        except ArtifactRefused:
            refused += 1
        else:
            assert all(np.isfinite(tree.leaf).all() for tree in model.trees)
    assert refused > 500
