from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import CaseState, Kind, Source, Status
from scoring.base.time import DAY
from scoring.caution.cautions import Caution
from scoring.caution.history import choose_first_day, name_case
from scoring.entries.field_types import is_id
from scoring.entries.flow import FlowDay
from scoring.features.columns import FactRow
from scoring.policy.caution import CautionTable
from tests.helpers.answers import find_cautions_of_seller
from tests.helpers.caution_rules import (
    BUSY,
    DISPUTED,
    SEEN,
    Seen,
    caution_rule,
    cautions,
    flow,
    history,
    policy_of,
    report,
    table_of,
    taken_over,
    visible,
)
from tests.helpers.worlds import NOW, TODAY, numbered, status

WEEK = policy_of(caution_rule(days=14), sources={"customs": {"weight": 60, "at_most": 400}})


def decided(case: str, time: int, state: CaseState = CaseState.ENDED) -> FactRow:
    return FactRow(0, f"decided-{case}", "s", Kind.CASE, time, time, status=int(state), target=case)


def test_a_case_that_a_person_ends_ends_its_caution() -> None:
    rows = [report("r0", TODAY - 3), report("r1", TODAY - 2)]
    [found] = cautions(rows, policy=WEEK)
    ended = decided(found.case, NOW - DAY)
    assert cautions([*rows, ended], NOW - DAY, policy=WEEK) == (found,)
    assert cautions([*rows, ended], NOW - DAY + 2, policy=WEEK) == ()
    assert cautions([*rows, decided(found.case, NOW - DAY, CaseState.CONFIRMED)], policy=WEEK) == (found,)
    assert cautions([*rows, decided("r~other", NOW - DAY)], policy=WEEK) == (found,)


def test_what_an_ended_case_rested_on_sets_no_caution_off() -> None:
    rows = [report("r0", TODAY - 6), report("r1", TODAY - 5), report("r2", TODAY - 3)]
    [found] = cautions(rows, visible(TODAY - 4), policy=WEEK)
    ended = decided(found.case, visible(TODAY - 4))
    dismissed = status("d", "r0", Status.DISMISSED, TODAY - 2)
    assert cautions([*rows, dismissed], policy=WEEK) != ()
    assert cautions([*rows, ended, dismissed], policy=WEEK) == ()
    [again] = cautions([*rows, ended, dismissed, report("r3", TODAY - 1)], policy=WEEK)
    assert again.entries == ("r2", "r3")


def test_the_same_incidents_by_the_same_sources_are_one_fact() -> None:
    rows = [report(f"r{n}", TODAY - 6 + n, incident=f"raid-{n % 2}") for n in range(2)]
    [found] = cautions(rows, policy=WEEK)
    more = [report(f"m{n}", TODAY - 2 + n, incident=f"raid-{n % 2}") for n in range(2)]
    ended = decided(found.case, visible(TODAY - 4))
    assert cautions([*rows, *more, ended], policy=WEEK) == ()
    others = [report(f"o{n}", TODAY - 2 + n, incident=f"other-{n}") for n in range(2)]
    assert [one.entries for one in cautions([*rows, *more, ended, *others], policy=WEEK)] == [("o0", "o1")]


def test_a_case_is_of_one_rule_only() -> None:
    rows = [report("r0", TODAY - 3, Source.TEST_BUY), taken_over("c", TODAY - 2)]
    weights = policy_of(
        caution_rule("one", days=14),
        caution_rule("two", days=14),
        caution_rule("hands", days=9, control=["taken_over"]),
        sources={"test_buy": {"weight": 100, "at_most": 400}},
    )
    assert [one.rule for one in cautions(rows, policy=weights)] == ["one", "two", "hands"]
    for rule, entry in (("one", "r0"), ("hands", "c")):
        ended = decided(name_case(rule, entry), NOW - DAY)
        assert [one.rule for one in cautions([*rows, ended], policy=weights)] == [
            name for name in ("one", "two", "hands") if name != rule
        ]


def test_days_served_until_a_case_ended_count_towards_the_thirty() -> None:
    policy = policy_of(caution_rule(days=14), sources={"customs": {"weight": 100, "at_most": 400}})
    rows = [report(f"r{n}", TODAY - 40 + 14 * n) for n in range(3)]
    [third] = cautions(rows, visible(TODAY - 12), policy)
    assert third.end - third.start == 2 * DAY
    ended = decided("r~r0", visible(TODAY - 31) - 1)
    [third] = cautions([*rows, ended], visible(TODAY - 12), policy)
    assert third.end - third.start == 7 * DAY


@settings(max_examples=40, deadline=None)
@given(SEEN, st.integers(0, 40), st.integers(0, 40))
def test_no_caution_rests_on_a_fact_of_an_ended_case_of_its_rule(seen: Seen, back: int, served: int) -> None:
    rows = [*history(seen), report("last", TODAY - back, Source.TEST_BUY, incident="its-own")]
    at = visible(TODAY - back)
    found = cautions([row for row in rows if row.report_time <= at], at, BUSY)
    if not found:
        return
    one = found[served % len(found)]
    ended = decided(one.case, at)
    for moment in (at + 2, visible(TODAY - back // 2), visible(TODAY), visible(TODAY + 15)):
        if moment > at:
            every = [row for row in [*rows, ended] if row.report_time < moment]
            for later in cautions(every, moment, BUSY):
                assert later.rule != one.rule or not {*later.entries} & {*one.entries}


def of_flow(days: list[FlowDay], table: CautionTable, *rows: FactRow, moment: int = NOW) -> tuple[Caution, ...]:
    first = choose_first_day(moment, table)
    seen = [one for one in days if one.known_time < moment and one.fact.day >= first]
    return find_cautions_of_seller(numbered([*rows]), moment, table, seen)


def test_an_ended_case_of_flow_is_over_however_days_are_restated() -> None:
    table = table_of(burst=DISPUTED)
    bad: dict[str, Any] = {"delivered_orders": 30, "disputed_orders": 30}
    days = [flow(TODAY - back, **(bad if back == 3 else {"delivered_orders": 1})) for back in range(9, 0, -1)]
    [found] = of_flow(days, table)
    assert found.case == "r~f-3"
    ended = decided(found.case, NOW - DAY)
    assert of_flow(days, table, ended, moment=NOW - DAY) == (found,)
    assert of_flow(days, table, ended) == ()
    restated = [flow(TODAY - back, **(bad if back == 4 else {"delivered_orders": 1})) for back in range(9, 0, -1)]
    assert of_flow(restated, table) != ()
    assert of_flow(restated, table, ended) == ()


@pytest.mark.parametrize(("rule", "entry"), [("r", "e" * 128), ("r" * 128, "e" * 128), ("r", "e")])
def test_a_case_is_named_by_an_id_whatever_its_entry_is(rule: str, entry: str) -> None:
    assert is_id(name_case(rule, entry))
    assert name_case(rule, entry) != name_case(rule, entry[:-1] + "f")
