from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.errors import ArtifactRefused
from scoring.model.certificate import certify
from scoring.model.page import MAX_TEXT, Page, page_model_text, read_page
from scoring.model.scale import Scale
from tests.helpers.random_pages import EDGES, PAGE_FEATURES, page_artifact, pages, random_page
from tests.helpers.worlds import population


def width(page: Page) -> int:
    return max(max(table.features) for table in page.tables) + 1


def inputs(seed: int, features: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.choice(EDGES, (200, features))
    return np.where(rng.random(x.shape) < 0.3, np.nextafter(x, rng.choice([-np.inf, np.inf], x.shape)), x)


@given(pages, st.integers(0, 1 << 32))
def test_lightgbm_predicts_minus_the_sum_of_the_parts(page: Page, seed: int) -> None:
    text = page_model_text(page.tables, width(page))
    x = inputs(seed, width(page))
    raw = np.asarray(lightgbm.Booster(model_str=text).predict(x, raw_score=True, num_threads=1))
    assert raw.tolist() == (-page.parts(x).sum(axis=1)).astype(float).tolist()
    back = read_page(text, page.base, width(page))
    assert page_model_text(back.tables, width(page)) == text
    assert back.parts(x).tolist() == page.parts(x).tolist()
    points = Scale(page.base).points(back.raw_score(x))
    assert points.tolist() == [min(max(page.base - int(r), 0), 1000) for r in raw]


@given(st.integers(0, 1 << 32), st.lists(st.sampled_from([-1, 1]), min_size=2, max_size=4), st.booleans())
def test_the_certificate_agrees_with_the_tables(seed: int, signs: list[int], is_pair: bool) -> None:
    page = random_page(np.random.default_rng(seed), tuple(signs), (1, 0) if is_pair else None)
    directions = {f"f{place}": sign for place, sign in enumerate(signs)}
    assert certify(page, directions)["trees"] == len(page.tables)
    moving = [t for t in page.tables if len(t.features) == 1 and t.points[0] != t.points[-1]]
    for table in moving[:1]:
        turned = [replace(t, points=t.points[::-1]) if t is table else t for t in page.tables]
        with pytest.raises(ArtifactRefused, match=f"the table of f{table.features[0]} moves by"):
            certify(replace(page, tables=tuple(turned)), directions)


def test_an_artifact_of_a_page_gives_its_points() -> None:
    artifact = page_artifact()
    everything, _ = population()
    x = np.random.default_rng(3).permuted(everything[:, : len(PAGE_FEATURES)], axis=0)
    assert artifact.raw_score(x).tolist() == artifact.page.raw_score(x).tolist()
    assert artifact.page.parts(x).max() <= 0
    assert artifact.scale.p_bad(np.array([artifact.page.base - 600.0])) == pytest.approx([1 / 21])


def test_a_feature_with_two_trees_is_refused() -> None:
    first, second = page_artifact().page.tables[:2]
    for tables in ([first, first], [second, first], []):
        with pytest.raises(ArtifactRefused, match="one tree for each feature"):
            read_page(page_model_text(tables, 17), 600, 17)


TEXT = page_artifact().parts["model.txt"].decode()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("split_feature=0 0", "split_feature=0 1 2", "tree 0 of the model uses 3 features"),
        ("split_feature=0 0", "split_feature=0 1", "do not fit together"),
        ("leaf_value=0", "leaf_value=0.5", "the leaf '0.5', which is no whole number"),
        ("leaf_value=0", "leaf_value=1", "0 at best"),
        ("leaf_value=0", "leaf_value=0 -1", "do not fit together"),
        ("leaf_weight=0", "leaf_weight=1", "something else than one tree"),
        ("threshold=", "threshold=nan ", "do not fit together"),
        ("Tree=0", "Tree=0\ntree", "something else"),
        ("objective=regression", "objective=binary", "something else"),
        ("end of trees", "end of trees\n", "something else"),
        ("leaf_weight=0", "leaf_weight=" + "0" * MAX_TEXT, "too long for a page"),
    ],
)
def test_a_text_that_is_no_page_is_refused_with_the_reason(before: str, after: str, words: str) -> None:
    assert read_page(TEXT, 600, len(PAGE_FEATURES)).base == 600
    assert before in TEXT
    with pytest.raises(ArtifactRefused, match=words):
        read_page(TEXT.replace(before, after, 1), 600, len(PAGE_FEATURES))
