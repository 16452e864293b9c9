import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import (
    CorrectionKind,
    Kind,
    ScoreState,
    Source,
)
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from scoring.scores.answer import SellerScore
from tests.helpers.answers import score
from tests.helpers.histories import ESTABLISHED, EVENING, HOUR, TIMES, around
from tests.helpers.worlds import NOW, TODAY, artifact, numbered, policy, sellers, violation


def asked(rows: list[FactRow], at: int, model: Artifact | None, rules: Policy | None = None) -> SellerScore | None:
    [answer] = score(rows, ["s"], at, model, rules or policy())
    return answer


def seen(rows: list[FactRow], at: int) -> tuple[object, ...]:
    day = at // DAY
    visible = {
        row.entry_id
        for row in rows
        if row.report_time < at
        and (row.exposure_day or 0) < day
        and (row.kind == Kind.EXPOSURE or row.occur_time < at)
        and row.kind not in (Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT)
    }
    stated = [row for row in rows if row.kind == Kind.OVERRIDE and row.entry_id in visible]
    in_force = bool(stated) and (stated[-1].until_time or 0) > at
    return day, visible, in_force


STATES = st.sampled_from(["rated", "unrated", "unknown"])


@pytest.mark.long
@settings(max_examples=250, deadline=None)
@given(sellers(), around(), TIMES, STATES, st.data())
def test_an_answer_holds_until_it_says(
    rows: list[FactRow], others: list[FactRow], at: int, state: str, data: st.DataObject
) -> None:
    file = numbered([*rows, *others, *(ESTABLISHED if state == "rated" else [])])
    model = None if state == "unknown" else artifact()
    first = asked(file, at, model)
    if first is None:
        return
    assert at < first.valid_until <= (at // DAY + 1) * DAY
    assert (first.state is ScoreState.UNKNOWN) == (state == "unknown")
    times = data.draw(st.lists(st.integers(at, first.valid_until - 1), max_size=4))
    for time in {min(at + 1, first.valid_until - 1), first.valid_until - 1, *times}:
        again = asked(file, time, model)
        assert again == first
        assert again.valid_until == first.valid_until


@pytest.mark.long
@settings(max_examples=250, deadline=None)
@given(sellers(), around(), TIMES)
def test_an_answer_holds_until_something_changes(rows: list[FactRow], others: list[FactRow], at: int) -> None:
    file = numbered([*rows, *(row for row in others if row.kind != Kind.CORRECTION)])
    answer = asked(file, at, None)
    if answer is not None:
        assert seen(file, answer.valid_until) != seen(file, at)
        assert seen(file, answer.valid_until - 1) == seen(file, at)


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(sellers(), around()), min_size=2, max_size=3), TIMES)
def test_an_answer_among_others_holds_as_long_as_by_itself(
    files: list[tuple[list[FactRow], list[FactRow]]], at: int
) -> None:
    named = {f"s{n}": numbered([*rows, *others]) for n, (rows, others) in enumerate(files)}
    together = [row._replace(seller=name) for name, rows in named.items() for row in rows]
    found = score(together, list(named), at, artifact(), policy())
    alone = [asked(rows, at, artifact()) for rows in named.values()]
    assert [answer and answer.valid_until for answer in found] == [answer and answer.valid_until for answer in alone]


def test_the_worked_end_of_an_answer() -> None:
    noon = DAY + 12 * HOUR
    exists = FactRow(1, "i", "s", Kind.IDENTITY, 0, 0, identity_level=1)
    inspected = FactRow(2, "n", "s", Kind.INSPECTION, noon + 3 * HOUR, noon + 2 * HOUR, status=1, source=Source.CUSTOMS)
    override = FactRow(3, "o", "s", Kind.OVERRIDE, DAY, DAY, status=5, until_time=noon + 6 * HOUR)

    def end(*rows: FactRow) -> int:
        answer = asked(list(rows), noon, artifact())
        return answer.valid_until

    assert end(exists, inspected, override) == 140_400_000_001
    assert end(exists, override) == 151_200_000_000
    assert end(exists) == 172_800_000_000


def test_a_void_or_moved_entry_bounds_an_answer_as_it_stands() -> None:
    later = violation("v", TODAY)._replace(occur_time=NOW + HOUR, report_time=NOW - HOUR)
    row = FactRow(0, "c", "s", Kind.CORRECTION, NOW - 9, NOW - 9, target="v")
    void = row._replace(status=CorrectionKind.VOID)
    moved = row._replace(status=CorrectionKind.MOVED, occur_time=NOW + 2 * HOUR)
    ends = [
        answer.valid_until
        for rows in ([later], [later, void], [later, moved])
        if (answer := asked(numbered([*ESTABLISHED, *rows]), NOW, artifact())) is not None
    ]
    assert ends == [NOW + HOUR + 1, EVENING, NOW + 2 * HOUR + 1]
