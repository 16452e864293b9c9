from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.time import DAY
from scoring.caution.cautions import Caution, choose_first_recent_day, may_be_set_off
from scoring.caution.flow_signals import FlowTable, find_relevant_changes, list_days_at_trigger
from scoring.caution.history import MAX_RESTATED, MAX_TRACED, choose_first_day
from scoring.entries.flow import FlowDay, SupersededFlow, keep_latest_statements, list_flow_as_of
from scoring.entries.kinds.settlement import FlowStated
from scoring.policy.caution import MAX_DAYS_IN_SPAN, SPAN_DAYS, Burst, CautionTable, Jump
from tests.helpers.answers import find_cautions_of_seller, score
from tests.helpers.caution_rules import DISPUTED, FEW, GENERAL, SOLD, flow, report, table_of
from tests.helpers.worlds import NOW, TODAY, artifact, numbered

UNDELIVERED = {"of": "undelivered", "share_ppm": 285_714, "orders": 20, "days": 7, "grace_days": 5}
JUMP = {"times": 5, "days": 3, "before_days": 28, "value_minor": 10_000}


def usual(first: int, last: int, orders: int = 10) -> list[FlowDay]:
    counts = {"captured_orders": orders, "captured_minor": orders * 100, "delivered_orders": orders}
    return [flow(TODAY - back, **counts) for back in range(first, last - 1, -1)]


def cautions(days: list[FlowDay], table: CautionTable, moment: int = NOW) -> tuple[Caution, ...]:
    first = choose_first_day(moment, table)
    seen = [one for one in days if one.known_time < moment and one.fact.day >= first]
    return find_cautions_of_seller([], moment, table, seen)


def test_orders_that_do_not_arrive_set_caution_off_when_due() -> None:
    table = table_of(burst=UNDELIVERED)
    gone = [flow(TODAY - back, captured_orders=10, delivered_orders=41 * (back == 7)) for back in range(12, 5, -1)]
    last = flow(TODAY - 1, delivered_orders=9)
    [found] = cautions([*gone, last], table)
    assert (found.rule, found.case) == ("r", "r~f-1")
    assert found.entries == (*(f"f{-back}" for back in range(12, 5, -1)), "f-1")
    assert found.measured == (20, 70)
    assert (found.start, found.end) == (TODAY * DAY, (TODAY + 5) * DAY)
    assert cautions([*gone, flow(TODAY - 1, delivered_orders=10)], table) == ()
    assert cautions([*gone, flow(TODAY - 1, delivered_orders=9, refunded_orders=1)], table) == ()
    assert cautions(usual(60, 1), table) == ()


@pytest.mark.parametrize(("arriving", "day"), [(100, None), (65, None), (63, 39), (50, 30), (0, 17)])
def test_the_general_policy_sees_who_stops_delivering(arriving: int, day: int | None) -> None:
    assert GENERAL.caution is not None
    days = [
        flow(TODAY - 90 + n, captured_orders=100, delivered_orders=(100 if n < 34 else arriving) if n >= 4 else 0)
        for n in range(90)
    ]
    seen = (n for n in range(90) if cautions(days[:n], GENERAL.caution, (TODAY - 90 + n) * DAY))
    assert next((n - 30 for n in seen), None) == day


def test_disputes_set_caution_off_by_their_share() -> None:
    table = table_of(burst=DISPUTED)
    for delivered, is_off in ((133, True), (134, False)):
        day = flow(TODAY - 1, delivered_orders=delivered, disputed_orders=12, charged_back_orders=8)
        assert [one.measured for one in cautions([day], table)] == [(20, 133)] * is_off
    few = flow(TODAY - 1, delivered_orders=19, disputed_orders=19)
    assert cautions([few], table) == ()


def test_a_jump_is_against_the_average_of_the_days_before() -> None:
    table = table_of(jump=JUMP)
    for value, is_off in ((5_000, True), (4_999, False)):
        days = [*usual(31, 4), *(flow(TODAY - back, captured_minor=value) for back in (3, 2, 1))]
        assert [one.measured for one in cautions(days, table)] == [(15_000, 3_000)] * is_off
    for known, is_off in ((17, True), (16, False)):
        days = [*usual(known, 4), *(flow(TODAY - back, captured_minor=5_000) for back in (3, 2, 1))]
        assert bool(cautions(days, table)) == is_off
    others = [one._replace(fact=FlowStated(one.fact.day, currency="USD", captured_minor=10**9)) for one in usual(3, 1)]
    assert cautions([*usual(31, 4), *others], table) == ()


def test_a_sleeping_account_that_wakes_sets_a_jump_off() -> None:
    table = table_of(jump=JUMP)
    awake = [flow(TODAY - back, captured_minor=5_000) for back in (3, 2, 1)]
    assert cautions(awake, table) == ()
    for last in (32, 40, 100):
        woken = cautions([flow(TODAY - last, captured_orders=1), *awake], table)
        assert [one.measured for one in woken] == [(10_000, 0)]
    assert may_be_set_off(awake, NOW, table)
    small = [flow(TODAY - back, captured_minor=3_000) for back in (3, 2, 1)]
    assert cautions([*usual(60, 40), *small], table) == ()


def test_value_that_is_refunded_is_no_jump() -> None:
    table = table_of(jump=JUMP)
    before, bought = usual(31, 4), {"captured_orders": 12, "captured_minor": 20_000}
    jump = flow(TODAY - 3, **bought)
    assert cautions([*before, jump], table) != ()
    assert cautions([*before, flow(TODAY - 3, **bought, refunded_minor=10_000)], table) == ()
    again = restated(jump, (TODAY - 2) * DAY, replace(jump.fact, refunded_minor=20_000))
    assert cautions([*before, again], table) == ()
    back = flow(TODAY - 1, refunded_minor=7_001)
    assert cautions([*before, jump, back], table) == ()
    assert cautions([*before, jump, back], table, TODAY * DAY - 1) != ()
    for less in (replace(back.fact, refunded_minor=7_000), replace(back.fact, currency="USD")):
        [found] = cautions([*before, jump, back._replace(fact=less)], table)
        assert found.measured == (22_000, 3_000)


def test_a_refunded_jump_hides_no_other() -> None:
    table = table_of(jump=JUMP)
    before, jump = usual(31, 4), flow(TODAY - 3, captured_minor=20_000)
    run = flow(TODAY - 2, captured_minor=4_000, refunded_minor=20_000)
    assert cautions([*before, jump, run], table) == ()
    [found] = cautions([*before, jump, run._replace(fact=replace(run.fact, captured_minor=34_000))], table)
    assert (found.case, found.measured) == ("r~f-2", (35_000, 3_000))


def test_what_is_stated_again_or_late_begins_no_new_caution() -> None:
    table = table_of(burst=DISPUTED)
    bad = {"delivered_orders": 20, "disputed_orders": 20}
    early = (TODAY - 3) * DAY + 7
    [found] = cautions([flow(TODAY - 3, early, "revised", **bad)], table)
    assert (found.start, found.entries) == (early + 1, ("revised",))
    assert cautions([flow(TODAY - 3, early, **bad)], table, found.end) == ()
    assert cautions([flow(TODAY - 7, TODAY * DAY, **bad)], table) == ()
    assert cautions([flow(TODAY - 6, TODAY * DAY, **bad)], table) != ()


def test_a_burst_that_goes_on_is_new_after_its_days() -> None:
    table = table_of(burst=DISPUTED)
    days = [flow(TODAY - back, delivered_orders=20, disputed_orders=20) for back in range(120, -20, -1)]
    mornings = [bool(cautions(days, table, (TODAY - 125 + n) * DAY + 1)) for n in range(145)]
    assert sum(mornings) == MAX_DAYS_IN_SPAN
    starts = [n for n in range(1, 145) if mornings[n] and not mornings[n - 1]]
    assert [b - a for a, b in pairwise(starts)] == [7] * 5


def restated(one: FlowDay, time: int, fact: FlowStated) -> FlowDay:
    return one._replace(fact=fact, before=(*one.before, SupersededFlow(time, one.fact)))


def as_known(days: list[FlowDay], moment: int) -> list[FlowDay]:
    return [
        one._replace(before=tuple(old for old in one.before if old.until_time <= moment))
        for one in list_flow_as_of([one for one in days if one.known_time < moment], moment)
    ]


@pytest.mark.long
@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 20), st.booleans(), st.integers(0, 20), st.booleans()),
        min_size=1,
        max_size=30,
        unique_by=lambda item: item[0],
    )
)
def test_restated_flow_gives_no_more_than_30_days_of_180(
    seen: list[tuple[int, int, bool, int, bool]],
) -> None:
    table = table_of(burst=DISPUTED, days=14)
    bad, good = {"delivered_orders": 20, "disputed_orders": 20}, {"delivered_orders": 20}
    days = []
    for ago, again, is_bad, twice, was_bad in seen:
        one = flow(TODAY - ago, **(bad if is_bad else good))
        for after, counts in ((again, good if is_bad else bad), (again + twice, bad if was_bad else good)):
            one = restated(one, one.known_time + 1 + after * DAY, FlowStated(TODAY - ago, currency="EUR", **counts))
        days.append(one)
    mornings = []
    for n in range(-200, 20):
        moment = (TODAY + n) * DAY + 1
        mornings.append(bool(cautions(as_known(days, moment), table, moment)))
    for end in range(len(mornings)):
        # A span of 30 days can touch 31 mornings, each further span one more.
        assert sum(mornings[max(end - SPAN_DAYS, 0) : end]) <= MAX_DAYS_IN_SPAN + len(seen)


def test_days_served_by_restated_flow_count_and_nothing_else() -> None:
    table = table_of(burst=DISPUTED, days=14)
    days = []
    for back in (60, 45, 30, 15):
        one = flow(TODAY - back, delivered_orders=20, disputed_orders=20)
        days.append(restated(one, one.known_time + 1 + 14 * DAY, FlowStated(TODAY - back, delivered_orders=20)))
    mornings = [(TODAY + n) * DAY + 1 for n in range(-70, 10)]
    assert sum(bool(cautions(as_known(days, moment), table, moment)) for moment in mornings) == MAX_DAYS_IN_SPAN
    assert cautions(as_known(days, NOW), table) == ()
    before = [one._replace(fact=one.before[0].fact, before=()) for one in days[-1:]]
    moment = (TODAY - 14) * DAY + 1
    assert cautions(as_known(before, moment), table, moment) != ()


def test_days_that_flow_used_up_are_missing_to_reports() -> None:
    rows = numbered([*SOLD, report("r", TODAY)])
    days = [flow(TODAY - back, delivered_orders=90, disputed_orders=30) for back in (60, 40)]
    [alone] = score(rows, ["s"], NOW, artifact(), GENERAL)
    [found] = score(rows, ["s"], NOW, artifact(), GENERAL, flows={"s": days})
    assert [one.end - found.cautions[0].start for one in (*alone.cautions, *found.cautions)] == [3 * DAY, 2 * DAY]


HOURLY = st.lists(
    st.tuples(st.integers(0, 25), st.integers(0, 9), *[st.lists(st.integers(0, 30), min_size=3, max_size=3)] * 3),
    min_size=1,
    max_size=12,
    unique_by=lambda item: item[0],
)
"""Days: age, hours between the statements, and three statements of captured, delivered and disputed orders."""


@FEW
@given(HOURLY, st.sampled_from([UNDELIVERED | {"orders": 9}, DISPUTED | {"orders": 9}, JUMP | {"before_days": 6}]))
def test_a_time_matters_if_what_reaches_a_trigger_changes(
    seen: list[tuple[int, int, list[int], list[int], list[int]]], asked: dict[str, Any]
) -> None:
    trigger = table_of(**{"jump" if "times" in asked else "burst": asked}).rules[0].trigger
    assert isinstance(trigger, Burst | Jump)
    days = []
    for ago, hours, *numbers in seen:
        facts = [
            FlowStated(
                *(TODAY - ago, "", k, "EUR"),
                captured_orders=captured,
                captured_minor=captured * 900,
                delivered_orders=delivered,
                disputed_orders=disputed,
            )
            for k, (captured, delivered, disputed) in enumerate(zip(*numbers, strict=True))
        ]
        one = FlowDay(f"f{ago}", 0, facts[0], (TODAY - ago) * DAY + 1_000 * ago, f"f{ago}")
        for k, fact in enumerate(facts[1:], 1):
            one = restated(one, one.known_time + k * (hours * DAY // 3 + 9), fact)
        days.append(one)

    def reached(moment: int) -> list[int]:
        return [day for day, _ in list_days_at_trigger(FlowTable(as_known(days, moment), "EUR"), trigger, 0)]

    times = sorted(old.until_time for one in days for old in one.before)
    assert find_relevant_changes(days, [trigger], "EUR") == [t for t in times if reached(t) != reached(t - 1)]


FLOWING = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 30), st.integers(0, 9 * DAY)),
    max_size=25,
    unique_by=lambda item: item[0],
)
"""Days: age, captured, delivered, disputed, and the time from its begin to its first statement."""


@settings(max_examples=60, deadline=None)
@given(FLOWING, st.integers(0, 20))
def test_the_recent_flow_shows_whether_it_sets_a_caution_off(
    seen: list[tuple[int, int, int, int, int]], back: int
) -> None:
    table = GENERAL.caution
    assert table is not None
    moment = NOW - back * DAY
    days = [
        flow(
            *(TODAY - ago, (TODAY - ago) * DAY + late),
            captured_orders=a,
            captured_minor=a * 9_000,
            delivered_orders=b,
            disputed_orders=c,
        )
        for ago, a, b, c, late in seen
    ]
    known = [one for one in days if one.known_time < moment]
    recent = [one for one in known if one.fact.day >= choose_first_recent_day(moment, table)]
    if cautions(known, table, moment):
        assert may_be_set_off(recent, moment, table)


def test_a_jump_of_some_days_ago_is_seen_in_the_recent_flow() -> None:
    table = table_of(jump=JUMP)
    days = [*usual(60, 8), *(flow(TODAY - back, captured_minor=9_000) for back in (7, 6, 5))]
    moment = TODAY * DAY - DAY // 2
    assert cautions(days, table, moment) != ()
    assert may_be_set_off(
        [one for one in days if one.fact.day >= choose_first_recent_day(moment, table)], moment, table
    )
    firsts = [choose_first_day((TODAY + n) * DAY, table) for n in range(SPAN_DAYS)]
    assert len(set(firsts)) == 2
    assert all(first <= TODAY + n - SPAN_DAYS - table.flow_days for n, first in enumerate(firsts))


def test_no_field_of_a_score_rests_on_flow() -> None:
    days = [*usual(60, 4), *(flow(TODAY - back, captured_orders=90, captured_minor=10**7) for back in (3, 2, 1))]
    rows = numbered(SOLD)
    [plain] = score(rows, ["s"], NOW, artifact(), GENERAL)
    [found] = score(rows, ["s"], NOW, artifact(), GENERAL, flows={"s": days})
    assert [one.rule for one in found.cautions] == ["value-jump"]
    assert replace(found, cautions=()) == plain


def test_restated_flow_costs_no_more_than_its_latest_changes() -> None:
    assert GENERAL.caution is not None
    turns = [{"delivered_orders": 400, "disputed_orders": 400 * (n % 2 == 0)} for n in range(3_001)]
    one = flow(TODAY - 1, **turns[0])
    for n, counts in enumerate(turns[1:]):
        one = restated(one, one.known_time + 1 + n, FlowStated(TODAY - 1, currency="EUR", **counts))
    steps: list[None] = []
    flows = [*usual(60, 2), one]
    assert find_cautions_of_seller([], NOW, GENERAL.caution, flows, partial(steps.append, None))
    assert len(steps) == MAX_TRACED + 3
    kept = keep_latest_statements(flows, MAX_RESTATED)
    assert kept[-1].before == one.before[-MAX_RESTATED:]
