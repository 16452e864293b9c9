import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from training.evaluation.figures import Shares, roc

rows = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=40)


@pytest.mark.long
@given(rows)
def test_the_drawn_roc_lies_on_the_whole_one(drawn: list[tuple[int, bool]]) -> None:
    score, bad = (np.array(column, dtype=float) for column in zip(*drawn, strict=True))
    if not 0 < bad.sum() < len(bad):
        return
    shares = Shares.of(score, bad, np.ones(len(bad)))
    x, y, _ = roc_curve(bad, score, drop_intermediate=False)
    line = roc(shares)
    assert len(line["x"]) == 101
    for at, found in zip(line["x"], line["y"], strict=True):
        here = np.isclose(x, at, atol=1e-12)
        assert found == pytest.approx(y[here].max() if here.any() else np.interp(at, x, y), abs=1e-9)
