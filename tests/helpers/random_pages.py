from functools import cache

import numpy as np
from hypothesis import strategies as st

from scoring.features.table import FEATURES, AnyFeature
from scoring.model.artifact import Artifact, ModelParts, load, pack
from scoring.model.page import Page, PointsTable
from tests.helpers.worlds import CONSTANTS, population
from training.study import loading

PAGE_FEATURES = tuple(feature for feature in FEATURES.values() if feature.name in loading.PAGE_FEATURES)


def monotone_table(
    rng: np.random.Generator, features: tuple[int, ...], edges: tuple[np.ndarray, ...], *signs: int
) -> PointsTable:
    """Return a table whose points follow the sign of each feature; sign 0 is free."""
    points = np.zeros([len(own) + 1 for own in edges], dtype=np.int64)
    for axis, sign in enumerate(signs):
        one_way = rng.integers(0, 40, points.shape[axis]) * (sign or rng.choice([-1, 1], points.shape[axis]))
        points += np.expand_dims(np.cumsum(one_way), 1 - axis) if len(signs) > 1 else np.cumsum(one_way)
    return PointsTable(features, edges, points - points.max())


def random_page(rng: np.random.Generator, signs: tuple[int, ...], pair: tuple[int, int] | None = None) -> Page:
    tables = []
    places = [(place,) for place in range(len(signs))] + ([pair] if pair else [])
    for own in sorted(places):
        edges = tuple(np.unique(rng.choice(EDGES, int(rng.integers(1, 12 if len(own) == 1 else 4)))) for _ in own)
        tables.append(monotone_table(rng, own, edges, *(signs[place] for place in own)))
    return Page(int(rng.integers(300, 1100)), tuple(tables))


EDGES = np.concatenate([np.linspace(-3, 3, 25), [0.1, 1 / 3, 1e-9, 1e9, -1e9]])
"""Possible edges; an input on an edge belongs to the row below."""

pages = st.builds(
    lambda seed, signs, is_pair: random_page(np.random.default_rng(seed), tuple(signs), (1, 0) if is_pair else None),
    st.integers(0, 1 << 32),
    st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=5),
    st.booleans(),
)


def artifact_of(page: Page, features: tuple[AnyFeature, ...], x: np.ndarray) -> Artifact:
    parts = ModelParts(
        study="tests",
        page=page,
        features=features,
        constants=CONSTANTS,
        reference_exposure=1000.0,
        baseline=np.median(x, axis=0),
        golden=x[:16],
        evaluation={},
        lineage={},
    )
    return load(pack(parts))


@cache
def page_artifact(seed: int = 1, base: int = 650) -> Artifact:
    rng = np.random.default_rng(seed)
    everything, _ = population()
    x = everything[:, [list(FEATURES.values()).index(feature) for feature in PAGE_FEATURES]]
    tables = []
    for place, feature in enumerate(PAGE_FEATURES):
        edges = np.unique(np.quantile(np.unique(x[:, place]), rng.random(int(rng.integers(2, 8))), method="lower"))
        tables.append(monotone_table(rng, (place,), (edges,), feature.direction))
    return artifact_of(Page(base, tuple(tables)), PAGE_FEATURES, x)
