import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scoring.base.enums import Attribution, CorrectionKind, Kind, Severity, Status, Tier
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from tests.helpers.histories import COUNTING, UNITS, answer, merge, points, split, with_units
from tests.helpers.worlds import (
    NOW,
    TODAY,
    days,
    decision,
    exposure,
    facts_of,
    override,
    sellers,
    status,
    violation,
)

END = NOW + 30 * DAY


def void(entry_id: str) -> FactRow:
    return decision(Kind.CORRECTION, f"void-{entry_id}", target=entry_id, status=CorrectionKind.VOID)


def moved(entry_id: str, moment: int) -> FactRow:
    row = decision(Kind.CORRECTION, f"moved-{entry_id}", target=entry_id, status=CorrectionKind.MOVED)
    return row._replace(occur_time=moment)


@pytest.mark.long
@COUNTING
@given(sellers(), days, st.integers(0, 5), st.sampled_from(Tier), st.data())
def test_what_is_void_leaves_no_trace_in_the_answer(
    rows: list[FactRow], day: int, which: int, tier: Tier, data: st.DataObject
) -> None:
    mine = [row.entry_id for row in rows if row.kind == Kind.VIOLATION] or ["none"]
    stated = [
        decision(Kind.CONTROL, "control", day, status=1),
        override("override", day * DAY, tier, END),
        merge("merge", f"incident-{which}", "incident-0" if which else "incident-1"),
        split("split", mine[which % len(mine)], "incident-2"),
        decision(Kind.LINK, "link", target="s9", status=1),
        decision(Kind.ATTRIBUTION, "attribution", violation=mine[-1], status=Attribution.ACCEPTED),
    ]
    chosen = data.draw(st.permutations(stated))[:3]
    voids = data.draw(st.permutations([void(row.entry_id) for row in chosen]))
    assert answer([*rows, *chosen, *voids]) == answer(rows)
    assert answer([*chosen, *voids, *rows]) == answer(rows)


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(TODAY - 400, TODAY - 1), st.integers(1, 8), st.integers(1, 4), UNITS)
def test_goods_that_were_somebody_elses_leave_no_trace(
    rows: list[FactRow], day: int, category: int, severity: int, units: int
) -> None:
    for incident in ("", "incident-1"):
        wrong = violation("wrong", day, category, severity, Status.CONFIRMED, incident)._replace(units=units)
        states = [
            decision(Kind.ATTRIBUTION, f"a{word}", violation="wrong", status=word)
            for word in (Attribution.CONTESTED, Attribution.REJECTED, Attribution.ACCEPTED)
        ]
        assert answer([*rows, wrong, *states]) == answer(rows)
        assert points([*rows, wrong, *states[:2]]) == points([*rows, wrong])


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(0, 5), st.integers(0, 5))
def test_incidents_that_were_merged_are_as_if_reported_as_one(rows: list[FactRow], one: int, into: int) -> None:
    assume(one != into)
    names = (f"incident-{one}", f"incident-{into}")
    as_one = [row._replace(incident=names[1]) if row.incident == names[0] else row for row in rows]
    assert points([*rows, merge("m", *names)]) == points(as_one)
    assert points([merge("m", *names), merge("n", *names[::-1]), *rows]) == points(as_one)
    assert answer([*rows, merge("m", *names)]).score == answer(as_one).score  # type: ignore[attr-defined, union-attr]


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(0, 11), st.integers(0, 5))
def test_a_violation_that_was_split_off_is_as_if_reported_there(rows: list[FactRow], which: int, into: int) -> None:
    mine = [row for row in rows if row.kind == Kind.VIOLATION]
    assume(mine)
    chosen = mine[which % len(mine)]
    there = [row._replace(incident=f"incident-{into}") if row is chosen else row for row in rows]
    first = split("first", chosen.entry_id, "elsewhere")
    assert answer([*rows, first, split("x", chosen.entry_id, f"incident-{into}")]) == answer(there)


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(0, 40), days, days, st.integers(0, 30))
def test_what_is_moved_is_as_if_stated_so_from_the_beginning(
    rows: list[FactRow], which: int, first: int, then: int, ago: int
) -> None:
    chosen = [row for row in rows if row.kind in (Kind.VIOLATION, Kind.IDENTITY)]
    chosen += [
        decision(Kind.CONTROL, "control", first, status=1),
        override("override", first * DAY, Tier.EXEMPLARY, END),
    ]
    rows = [*rows, *chosen[-2:]]
    row = chosen[which % len(chosen)]
    right = [r._replace(occur_time=then * DAY + 5) if r is row else r for r in rows]
    corrections = [moved(row.entry_id, first * DAY), moved(row.entry_id, then * DAY + 5)]
    for moment in (NOW, (TODAY - ago) * DAY):
        assert answer([*rows, *corrections], moment) == answer(right, moment)
    assert answer([*rows, *corrections, void(row.entry_id)]) == answer([r for r in rows if r is not row])


@COUNTING
@given(sellers(), st.lists(UNITS, min_size=1, max_size=4))
def test_units_raise_severities_by_incident_up_to_critical(rows: list[FactRow], units: list[int]) -> None:
    rows = with_units(rows, units)
    guilty = [row for row in rows if row.kind == Kind.VIOLATION and row.status == Status.CONFIRMED]
    v = facts_of(rows).violations
    found = dict(zip([rows[place].entry_id for place in v.row], v.severity.tolist(), strict=True))
    for row in guilty:
        total = sum(other.units or 0 for other in guilty if other.incident == row.incident)
        steps = 0 if total < 10 else 1 if total < 1000 else 2
        assert found[row.entry_id] == min((row.severity or 0) + steps, Severity.CRITICAL)


@pytest.mark.long
@COUNTING
@given(sellers(), st.lists(UNITS, min_size=1, max_size=4), st.lists(UNITS, min_size=1, max_size=4), st.data())
def test_the_last_stated_units_count_from_the_beginning(
    rows: list[FactRow], units: list[int], stated: list[int], data: st.DataObject
) -> None:
    rows = with_units(rows, units)
    guilty = [row for row in rows if row.kind == Kind.VIOLATION and row.status == Status.CONFIRMED]
    assume(guilty)
    chosen = data.draw(st.sampled_from(guilty))
    history = list(rows)
    for number, count in enumerate(stated):
        away = data.draw(st.sampled_from([Status.APPEALED, Status.OVERTURNED]))
        history.append(status(f"away-{number}", chosen.entry_id, away))
        history.append(status(f"back-{number}", chosen.entry_id, Status.CONFIRMED)._replace(units=count))
    last = next((count for count in reversed(stated) if count), chosen.units)
    right = [row._replace(units=last) if row is chosen else row for row in rows]
    assert points(history) == points(right)
    if (last or 0) <= (chosen.units or 0):
        assert points(history) >= points(rows)


@COUNTING
@given(sellers(), st.lists(UNITS, min_size=1, max_size=4))
def test_without_an_open_allegation_a_seller_stands_as_if_upheld(rows: list[FactRow], units: list[int]) -> None:
    decided = [row for row in with_units(rows, units) if row.status != Status.ALLEGED]
    decided += [
        violation("v", TODAY - 9, 1, 2, Status.ALLEGED)._replace(units=1000), status("c", "v", Status.CONFIRMED)
    ]  # fmt: skip
    found = answer(decided).score  # type: ignore[attr-defined]
    assert found.points == found.points_if_upheld


@pytest.mark.long
@COUNTING
@given(sellers(), days, st.sampled_from(Tier))
def test_an_override_sets_the_tier_and_nothing_else(rows: list[FactRow], day: int, tier: Tier) -> None:
    before = answer(rows).score  # type: ignore[attr-defined]
    after = answer([*rows, override("o", day * DAY, tier, END)]).score  # type: ignore[attr-defined]
    assert (after.tier, after.override) == (tier, "o")
    assert (after.points, after.points_if_upheld, after.p_bad, after.state) == (
        *(before.points, before.points_if_upheld, before.p_bad, before.state),
    )
    assert answer([*rows, override("o", day * DAY, tier, END)], END) == answer(rows, END)


def test_sales_from_the_day_of_a_change_of_control_on_count() -> None:
    rows = [
        exposure("before", TODAY - 21, 7),
        exposure("same", TODAY - 20, 5),
        violation("v", TODAY - 30),
        decision(Kind.CONTROL, "k", TODAY - 20, status=1),
    ]
    facts = facts_of(rows)
    assert facts.exposure_orders.tolist() == [5]
    assert facts.start_day.tolist() == [TODAY - 20]
    assert len(facts.violations.case) == 1
