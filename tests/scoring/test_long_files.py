from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Kind, Status
from scoring.features.columns import FactRow
from scoring.features.facts import COUNTING_KINDS
from scoring.scores.reasons import MAX_LISTED
from tests.helpers.answers import explain, score, score_one
from tests.helpers.limits import Limit
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, policy, sellers, violation
from tests.scoring.test_promises import answer

HISTORY_OF_ORDERS = [identity("i", TODAY - 600), *(exposure(f"x{d}", TODAY - d, 60) for d in range(1, 200))]
MANY = 3_000
OTHERS = st.lists(
    st.tuples(
        st.sampled_from([*set(Kind) - COUNTING_KINDS]), st.integers(0, 99), st.sampled_from("sv"), st.integers(1, 5)
    ),
    max_size=12,
)


class GoneError(Exception):
    pass


def leave_after(calls: int) -> Callable[[], None]:
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise GoneError

    return check


def allegations(count: int, to: Status = Status.ALLEGED) -> list[FactRow]:
    return [violation(f"a{n}", TODAY - 1 - n % 300, 1 + n % 8, 1 + n % 4, to, f"incident-{n}") for n in range(count)]


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(sellers(), OTHERS)
def test_entries_of_kinds_that_do_not_count_change_no_answer(rows: list[FactRow], others: list[Any]) -> None:
    stated = list(rows)
    for n, (kind, place, letter, word) in enumerate(others):
        about = f"{letter}{place % 12}"
        row = FactRow(
            0, f"o{n}", "s", kind, NOW - 9, NOW - 9, about, about, word, word % 5, word, target=about, units=word
        )
        stated.insert(place % (len(stated) + 1), row)
    assert answer(stated) == answer(rows)


def test_thousands_of_allegations_and_incidents_are_answered() -> None:
    accused = score_one([*HISTORY_OF_ORDERS, *allegations(MANY)])
    assert accused.open_allegations == MANY
    assert accused.points_if_upheld < accused.points
    confirmed = numbered([*HISTORY_OF_ORDERS, *allegations(MANY, Status.CONFIRMED)])
    found = explain(confirmed, "s", NOW, artifact(), policy())
    assert sum(len(reason.incidents) for reason in found.reasons) == MANY


def test_an_explanation_names_the_incidents_that_cost_most() -> None:
    many = [violation(f"a{n}", TODAY - 1 - n % 300, severity=4) for n in range(MAX_LISTED)]
    least = [violation(f"least{n}", TODAY - 600, severity=1) for n in range(7)]
    found = explain(numbered([*HISTORY_OF_ORDERS, *least, *many]), "s", NOW, artifact(), policy())
    [reason] = [reason for reason in found.reasons if reason.incidents]
    assert {effect.incident for effect in reason.incidents} == {row.entry_id for row in many}
    assert (reason.incidents_omitted, reason.counted) == (7, MAX_LISTED + 7)


def test_work_in_parts_has_an_equal_answer_and_ends_between_them(limit: Limit) -> None:
    rows = numbered([*HISTORY_OF_ORDERS, *allegations(600, Status.CONFIRMED)])
    at_once = explain(rows, "s", NOW, artifact(), policy())
    # Parts are of 4,096 incidents: a test of several parts would wait long.
    limit("scoring.features.selections", PART=50)
    asked: list[None] = []
    assert explain(rows, "s", NOW, artifact(), policy(), lambda: asked.append(None)) == at_once
    assert len(asked) > 12
    for calls in range(len(asked)):
        with pytest.raises(GoneError):
            explain(rows, "s", NOW, artifact(), policy(), leave_after(calls))
    with pytest.raises(GoneError):
        score(rows, ["s"], NOW, artifact(), policy(), leave_after(0))
