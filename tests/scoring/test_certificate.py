"""The certificate is exact: brute force agrees with it, and the ways LightGBM breaks its own constraints are caught."""

import itertools
import re

import lightgbm
import numpy as np
import pytest

from scoring.certificate import certify, find_breaches
from scoring.errors import ArtifactRefused
from scoring.trees import Model, Tree, evaluate, parse_model

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


def test_a_refitted_model_that_lost_its_constraints_is_caught() -> None:
    """Booster.refit sets leaves without regard to the constraints it was trained with."""
    good = fitted(1, 40, monotone_constraints=[1, -1, 0], monotone_constraints_method="intermediate")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 3))
    refitted = good.refit(x, (x[:, 0] < 0).astype(float), decay_rate=0.0)
    with pytest.raises(ArtifactRefused, match=r"a@1|b@1"):
        certify(refitted.model_to_string(), dict(zip(KEYS, (-1, +1, 0), strict=True)))


def test_a_forced_split_against_the_constraint_is_caught(tmp_path) -> None:
    """Forced splits ignore monotone constraints."""
    forced = tmp_path / "forced.json"
    forced.write_text('{"feature": 2, "threshold": 0.0, "left": {"feature": 2, "threshold": -0.5}}')
    model = fitted(3, 20, monotone_constraints=[0, 0, 1], forcedsplits_filename=str(forced))
    assert find_breaches(parse_model(model.model_to_string()), [0, 0, -1])


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
