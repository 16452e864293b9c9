"""Sellers with very many facts: answers stay exact, cost what is said, and end when nobody waits for them."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import score as scoring_score
from scoring.enums import CorrectionKind, IncidentChange, Kind, Status
from scoring.features.columns import EntryColumns, FactRow
from scoring.features.facts import COUNTING_KINDS, Facts
from scoring.reasons import HISTORY
from scoring.score import explain, score
from scoring.time import DAY
from tests.scoring.worlds import NOW, TODAY, artifact, exposure, identity, numbered, policy, sellers, status, violation

HISTORY_OF_ORDERS = [identity("i", TODAY - 600), *(exposure(f"x{d}", TODAY - d, 60) for d in range(1, 200))]
MANY = 3_000
DECISIONS = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from([*Status]), st.integers(TODAY - 30, TODAY - 1)), max_size=12
)


REGROUPINGS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.booleans()), max_size=6)
CORRECTED = [*(f"v{n}" for n in range(9)), *(f"d{n}" for n in range(4)), *(f"g{n}" for n in range(5)), "i0"]
CORRECTIONS = st.lists(
    st.tuples(st.sampled_from(CORRECTED), st.booleans(), st.integers(TODAY - 30, TODAY - 1)), max_size=5
)
OTHERS = st.lists(
    st.tuples(
        st.sampled_from([*set(Kind) - COUNTING_KINDS]), st.integers(0, 99), st.sampled_from("sv"), st.integers(1, 5)
    ),
    max_size=12,
)


class GoneError(Exception):
    pass


def leave_after(calls: int) -> Callable[[], None]:
    """A check that raises when it is called once more than so many times."""
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise GoneError

    return check


def allegations(count: int, to: Status = Status.ALLEGED) -> list[FactRow]:
    return [violation(f"a{n}", TODAY - 1 - n % 300, 1 + n % 8, 1 + n % 4, to, f"incident-{n}") for n in range(count)]


def regroupings(changes: list[tuple[int, int, bool]]) -> list[FactRow]:
    """Merges of incidents, and violations that are split off."""
    found = []
    for n, (one, other, is_split) in enumerate(changes):
        row = FactRow(0, f"g{n}", "s", Kind.INCIDENT, NOW - 9, NOW - 9, target=f"incident-{other}")
        if is_split:
            found.append(row._replace(violation=f"v{one}", status=int(IncidentChange.SPLIT)))
        else:
            found.append(row._replace(incident=f"incident-{one}", status=int(IncidentChange.MERGED)))
    return found


def corrections(of: list[tuple[str, bool, int]]) -> list[FactRow]:
    """Entries that are moved to another day, or void."""
    row = FactRow(0, "", "s", Kind.CORRECTION, NOW - 9, NOW - 9)
    return [
        row._replace(entry_id=f"c{n}", target=name, status=int(CorrectionKind.VOID))
        if is_void
        else row._replace(entry_id=f"c{n}", target=name, status=int(CorrectionKind.MOVED), occur_time=day * DAY + 5)
        for n, (name, is_void, day) in enumerate(of)
    ]


@settings(max_examples=150, deadline=None)
@given(sellers(), DECISIONS, REGROUPINGS, CORRECTIONS)
def test_what_is_settled_once_is_as_each_view_would_settle_it(
    rows: list[FactRow],
    decisions: list[tuple[int, Status, int]],
    changes: list[tuple[int, int, bool]],
    corrected: list[tuple[str, bool, int]],
) -> None:
    """Merges, corrections, and violations that count in no view: the same answer to the last bit, every view by itself."""
    decided = [
        status(f"d{n}", f"v{which}", to, day, severity=1 if to is Status.REDUCED else None)
        for n, (which, to, day) in enumerate(decisions)
        if to is not Status.ALLEGED
    ]
    everything = numbered([*rows, *decided, *regroupings(changes), *corrections(corrected)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring_score, "MANY_ALLEGATIONS", -1)
        settled = score(everything, ["s"], NOW, artifact(), policy())
        patch.setattr(scoring_score, "MANY_ALLEGATIONS", 10**9)
        patch.setattr(scoring_score, "settle", lambda columns: columns)
        assert score(everything, ["s"], NOW, artifact(), policy()) == settled


@settings(max_examples=60, deadline=None)
@given(sellers(), OTHERS)
def test_entries_of_kinds_that_do_not_count_change_no_answer(rows: list[FactRow], others: list[Any]) -> None:
    """Wherever they stand and whatever they are about, so that a score need not read them."""
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


def test_open_allegations_are_looked_at_three_times_and_not_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    """To count them, to find those that count in no view, and to uphold them."""
    looked_at = []
    resolve = scoring_score.resolve

    def noting(columns: EntryColumns, *arguments: Any, **options: Any) -> Facts:
        looked_at.append(len(columns.case))
        return resolve(columns, *arguments, **options)

    monkeypatch.setattr(scoring_score, "resolve", noting)
    rows = numbered([*HISTORY_OF_ORDERS, *allegations(MANY)])
    [answer] = score(rows, ["s"], NOW, artifact(), policy())
    assert answer.open_allegations == MANY
    assert answer.points_if_upheld < answer.points
    assert sum(looked_at) <= 2 * MANY + 16 * len(HISTORY_OF_ORDERS)


def test_an_explanation_names_the_incidents_that_cost_most_and_counts_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of each reason; the shares in points are those of all incidents."""
    rows = numbered([*HISTORY_OF_ORDERS, *allegations(80, Status.CONFIRMED)])
    whole = explain(rows, "s", NOW, artifact(), policy())
    monkeypatch.setattr("scoring.reasons.MAX_LISTED_INCIDENTS", 3)
    short = explain(rows, "s", NOW, artifact(), policy())
    assert short.score == whole.score
    for reason, all_of_it in zip(short.reasons, whole.reasons, strict=True):
        assert (reason.reason_code, reason.points) == (all_of_it.reason_code, all_of_it.points)
        assert reason.incidents == all_of_it.incidents[:3]
        omitted = 0 if reason.reason_code == HISTORY else 7
        assert (all_of_it.incidents_omitted, reason.incidents_omitted) == (0, omitted)


def test_an_explanation_folds_each_incident_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each other one: the violations that are folded are as many as there are, in sixteen views and alone."""
    folded = []
    folder = type(artifact().folder)
    fold = folder.fold

    def noting(self: Any, facts: Facts, *arguments: Any) -> Any:
        folded.append(len(facts.violations.case))
        return fold(self, facts, *arguments)

    monkeypatch.setattr(folder, "fold", noting)
    found = explain(
        numbered([*HISTORY_OF_ORDERS, *allegations(MANY, Status.CONFIRMED)]), "s", NOW, artifact(), policy()
    )
    assert sum(len(reason.incidents) for reason in found.reasons) == MANY
    assert sum(folded) <= 17 * MANY


def test_work_ends_between_two_parts_when_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the check raises; a check that is content changes nothing."""
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
