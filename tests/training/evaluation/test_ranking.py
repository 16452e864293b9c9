import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from scoring.base.arrays import Floats
from training.evaluation.curves import roc
from training.evaluation.ranking import HARM, Ranking, Shares, auc

rows = st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.integers(1, 9)), min_size=1, max_size=40)
Drawn = list[tuple[int, bool, int]]


def recall_of_loss(score: Floats, bad: Floats, loss: Floats, harm: float = HARM, weight: Floats | None = None) -> float:
    return Ranking.of(score, bad).figures(np.ones(len(bad)) if weight is None else weight, loss, harm)[1]


def arrays_of(drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    score, bad, loss = (np.array(column, dtype=float) for column in zip(*drawn, strict=True))
    return score, bad, bad * loss


@given(rows)
def test_auc_is_the_share_of_pairs_in_order(drawn: Drawn) -> None:
    score, bad, weight = arrays_of([(s, b, w) for s, b, w in drawn])
    weight = np.array([w for _, _, w in drawn], dtype=float)
    pairs = [(a > b) + (a == b) / 2 for a in score[bad == 1] for b in score[bad == 0]]
    if not pairs:
        assert np.isnan(auc(score, bad))
        return
    assert auc(score, bad) == pytest.approx(np.mean(pairs), rel=1e-12)
    assert auc(score, bad, weight) == pytest.approx(roc_auc_score(bad, score, sample_weight=weight), rel=1e-12)


def test_weights_are_copies_of_rows() -> None:
    score, bad = np.array([1.0, 2.0, 3.0, 1.5, 0.5]), np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    loss, copies = bad * [0, 5, 0, 3, 0], np.array([2, 1, 1, 3, 4])
    repeated = [np.repeat(part, copies) for part in (score, bad, loss)]
    weight = copies.astype(float)
    assert auc(score, bad, weight) == pytest.approx(auc(repeated[0], repeated[1]), rel=1e-12)
    for harm in (0.05, 0.2, 0.3, 0.9):
        once, again = recall_of_loss(score, bad, loss, harm, weight), recall_of_loss(*repeated, harm)
        assert once == pytest.approx(again, rel=1e-12)


@given(rows, st.sampled_from([0.05, 0.1, 0.25, 0.5, 1.0]))
def test_recall_of_loss_is_what_walking_down_the_scores_finds(drawn: Drawn, harm: float) -> None:
    score, bad, loss = arrays_of(drawn)
    if not loss.sum() or bad.all():
        assert np.isnan(recall_of_loss(score, bad, loss, harm))
        return
    left, caught = harm * (1 - bad).sum(), 0.0
    for value in sorted(set(score), reverse=True):
        goods = (1 - bad)[score == value].sum()
        part = 1.0 if goods <= left + 1e-9 else left / goods
        caught += part * loss[score == value].sum()
        left -= part * goods
        if part < 1:
            break
    found = recall_of_loss(score, bad, loss, harm)
    assert found == pytest.approx(caught / loss.sum(), abs=1e-9)
    assert 0 <= found <= 1
    assert recall_of_loss(score, bad, loss, harm / 2) <= found + 1e-12


@pytest.mark.long
@given(rows)
def test_the_drawn_roc_lies_on_the_whole_one(drawn: Drawn) -> None:
    score, bad, _ = arrays_of(drawn)
    if not 0 < bad.sum() < len(bad):
        return
    shares = Shares.of(score, bad, np.ones(len(bad)))
    x, y, _ = roc_curve(bad, score, drop_intermediate=False)
    line = roc(shares)
    assert len(line["x"]) == 101
    for at, found in zip(line["x"], line["y"], strict=True):
        here = np.isclose(x, at, atol=1e-12)
        assert found == pytest.approx(y[here].max() if here.any() else np.interp(at, x, y), abs=1e-9)
