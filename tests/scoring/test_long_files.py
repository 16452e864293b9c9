from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Kind, Status
from scoring.features.columns import FactRow
from scoring.features.facts import COUNTING_KINDS
from tests.helpers.answers import explain, score
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, policy, sellers, violation

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
    assert explain(numbered(stated), "s", NOW, artifact(), policy()) == explain(
        numbered(rows), "s", NOW, artifact(), policy()
    )


def test_thousands_of_allegations_and_incidents_are_answered() -> None:
    [answer] = score(numbered([*HISTORY_OF_ORDERS, *allegations(MANY)]), ["s"], NOW, artifact(), policy())
    assert answer.open_allegations == MANY
    assert answer.points_if_upheld < answer.points
    confirmed = numbered([*HISTORY_OF_ORDERS, *allegations(MANY, Status.CONFIRMED)])
    found = explain(confirmed, "s", NOW, artifact(), policy())
    assert sum(len(reason.incidents) for reason in found.reasons) == MANY


def test_an_explanation_names_the_incidents_that_cost_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = numbered([*HISTORY_OF_ORDERS, *allegations(80, Status.CONFIRMED)])
    whole = explain(rows, "s", NOW, artifact(), policy())
    monkeypatch.setattr("scoring.scores.reasons.MAX_LISTED", 3)
    short = explain(rows, "s", NOW, artifact(), policy())
    assert short.score == whole.score
    for reason, all_of_it in zip(short.reasons, whole.reasons, strict=True):
        assert (reason.reason_code, reason.points) == (all_of_it.reason_code, all_of_it.points)
        assert reason.incidents == all_of_it.incidents[:3]
        omitted = 7 if reason.incidents else 0
        assert (all_of_it.incidents_omitted, reason.incidents_omitted) == (0, omitted)


def test_work_ends_between_two_parts_when_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoring.features.selections.PART", 50)
    rows = numbered([*HISTORY_OF_ORDERS, *allegations(600, Status.CONFIRMED)])
    asked: list[None] = []
    explained = explain(rows, "s", NOW, artifact(), policy(), lambda: asked.append(None))
    assert explained == explain(rows, "s", NOW, artifact(), policy())
    assert len(asked) > 12
    for calls in range(len(asked)):
        with pytest.raises(GoneError):
            explain(rows, "s", NOW, artifact(), policy(), leave_after(calls))
    with pytest.raises(GoneError):
        score(rows, ["s"], NOW, artifact(), policy(), leave_after(0))
