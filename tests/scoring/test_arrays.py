from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.arrays import MAX_TOTAL, add_up_amounts, first_of_runs, last_of_runs


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 10**15))), st.sampled_from([1, 20_000]))
def test_amounts_add_up_to_the_bound_and_do_not_wrap(amounts: list[tuple[int, int]], times: int) -> None:
    """At most 10^15 a day: in 64 bits 9,224 days would wrap."""
    case, values = np.array([*amounts, (1, 10**15)], dtype=np.int64).T
    found = add_up_amounts(np.repeat(values, times), np.repeat(case, times), 3).tolist()
    assert found == [min(MAX_TOTAL, times * sum(values[case == one].tolist())) for one in range(3)]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"))))
def test_runs_are_those_of_a_plain_walk(rows: list[tuple[int, str]]) -> None:
    keys = np.array([number for number, _ in rows], dtype=np.int64), np.array([text for _, text in rows], dtype=object)
    runs = [len(list(run)) for _, run in groupby(rows)]
    assert first_of_runs(*keys).tolist() == [place == 0 for length in runs for place in range(length)]
    assert last_of_runs(*keys).tolist() == [place == length - 1 for length in runs for place in range(length)]
