from scoring.base.enums import Attribution, DepositChange, Kind, MeasureKind, MeasureState, Status
from scoring.base.time import DAY
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.entries.kinds.settlement import DepositChanged, FlowStated
from scoring.features.columns import FactRow
from scoring.measures.record import MeasureStatement
from scoring.measures.restitution import (
    RestitutionItem,
    add_up_captured,
    find_times_taken_back,
    list_restitution_items,
    list_spans_on_violation,
)
from tests.helpers.worlds import status

IMPOSED, UPDATED, LIFTED = MeasureState.IMPOSED, MeasureState.UPDATED, MeasureState.LIFTED
RESERVE, DEPOSIT = MeasureKind.ROLLING_RESERVE, MeasureKind.DEPOSIT
NOW = 20 * DAY


def at(time: float, state: MeasureState, kind: MeasureKind, name: str = "m", **values: object) -> MeasureStatement:
    named = () if state is LIFTED else ("v",)
    fact = MeasureChanged(name, kind, state, "staff", "so", violations=named, **values)  # type: ignore[arg-type]
    return MeasureStatement("e", 1, round(time * DAY), fact)


def flow(*days: int, captured: int = 5_005) -> list[FlowDay]:
    return [FlowDay("f", 1, FlowStated(day, currency="EUR", captured_minor=captured), 0, "f") for day in days]


def deposit(time: float, change: DepositChange, amount: int, currency: str = "EUR") -> tuple[int, DepositChanged]:
    return round(time * DAY), DepositChanged(change, amount, currency, "bank", "c" * (change is DepositChange.DRAWN))


def items(
    statements: list[MeasureStatement],
    captured: list[FlowDay] | None = None,
    deposits: list[tuple[int, DepositChanged]] | None = None,
    away: list[tuple[int, int | None]] | None = None,
) -> list[RestitutionItem]:
    return [
        *list_restitution_items(
            list_spans_on_violation("v", statements, away or []), captured or [], deposits or [], NOW, "EUR"
        )
    ]


def held(*given: object) -> list[int]:
    return [item.held_minor for item in items(*given)]  # type: ignore[arg-type]


def test_each_day_of_a_reserve_counts_at_its_share() -> None:
    reserve = [at(2, IMPOSED, RESERVE, ppm=100_000), at(4.5, UPDATED, RESERVE, ppm=200_000), at(6, LIFTED, RESERVE)]
    assert held(reserve, flow(1, 2, 3, 4, 5, 6)) == [3_003]
    assert held([reserve[0], reserve[2]], flow(2, 3, 4, 5)) == [2_002]


def test_an_earlier_update_counts_in_its_place() -> None:
    reserve = [
        *(at(2, IMPOSED, RESERVE, ppm=100_000), at(4, UPDATED, RESERVE, ppm=900_000)),
        *(at(3, UPDATED, RESERVE, ppm=500_000), at(5, LIFTED, RESERVE)),
    ]
    assert held(reserve, flow(2, 3, 4)) == [5_505]


def test_a_measure_ends_by_itself_as_it_was_stated_last() -> None:
    first = at(2, IMPOSED, RESERVE, ppm=100_000, until=4 * DAY)
    assert [item.days for item in items([first])] == [2]
    assert [item.days for item in items([first, at(3, UPDATED, RESERVE, until=6 * DAY)])] == [4]
    assert [item.days for item in items([first, at(3, UPDATED, RESERVE)])] == [18]
    again = [first, at(5, IMPOSED, RESERVE), at(6, LIFTED, RESERVE)]
    assert [(item.span.begin // DAY, item.days) for item in items(again)] == [(2, 2), (5, 1)]


def test_a_deposit_counts_what_was_there_while_the_measure_stood() -> None:
    asked = [at(5, IMPOSED, DEPOSIT, amount_minor=5_000, currency="EUR"), at(10, LIFTED, DEPOSIT)]
    placed, drawn, returned = DepositChange.PLACED, DepositChange.DRAWN, DepositChange.RETURNED
    changes = [
        *(deposit(1, placed, 10_000), deposit(2, returned, 9_000), deposit(6, placed, 3_000)),
        *(deposit(7, drawn, 500), deposit(11, placed, 7_000), deposit(12, placed, 1)),
    ]
    assert held(asked, [], changes) == [4_000]
    assert held(asked, [], changes[:2]) == [1_000]
    assert held(asked, [], [deposit(10, placed, 3_000)]) == [0]
    assert held(asked, [], [deposit(6, placed, 3_000, "CNY")]) == [0]


def test_a_deposit_counts_no_more_than_was_asked_for_then() -> None:
    asked = {"kind": DEPOSIT, "currency": "EUR"}
    stated = [at(5, IMPOSED, amount_minor=2_000, **asked), at(8, UPDATED, amount_minor=5_000, **asked)]  # type: ignore[arg-type]
    changes = [deposit(1, DepositChange.PLACED, 6_000), deposit(7, DepositChange.RETURNED, 3_000)]
    assert held(stated, [], changes) == [3_000]
    assert held(stated, [], changes[:1]) == [5_000]
    assert held(stated[:1], [], changes) == [2_000]
    earlier = at(6, UPDATED, amount_minor=1_000, **asked)  # type: ignore[arg-type]
    assert held([*stated, earlier], [], changes) == [2_000]
    assert held(stated, [], changes, [(6 * DAY, 9 * DAY), (10 * DAY, None)]) == [2_000, 3_000]
    assert held(stated[:1], [], [changes[0], deposit(7, DepositChange.RETURNED, 5_000)], [(6 * DAY, 9 * DAY)]) == [
        *(2_000, 1_000)
    ]
    share = {"amount_minor": 2_000, "ppm": 50_000}
    assert held([at(5, IMPOSED, rule="r", **share, **asked)], [], changes) == [6_000]  # type: ignore[arg-type]
    assert held([at(5, IMPOSED, **share, **asked)], [], changes) == [2_000]  # type: ignore[arg-type]


def test_two_measures_state_the_same_money_once() -> None:
    asked = {"kind": DEPOSIT, "currency": "EUR"}
    first, second = (
        at(time, IMPOSED, name=name, amount_minor=amount, **asked)  # type: ignore[arg-type]
        for time, name, amount in ((2, "a", 3_000), (3, "b", 5_000))
    )
    placed = [deposit(1, DepositChange.PLACED, 4_000)]
    assert held([first, second], [], placed) == [3_000, 1_000]
    assert held([at(2, IMPOSED, DEPOSIT, "a", amount_minor=5_000, currency="EUR"), second], [], placed) == [4_000, 0]
    lifted = at(2.5, LIFTED, DEPOSIT, "a")
    assert held([first, lifted, second], [], placed) == [3_000, 4_000]
    for hold in (MeasureKind.SETTLEMENT_HOLD, MeasureKind.DELIVERY_HOLD):
        begun, ended = [at(2, IMPOSED, hold, "a"), at(3, IMPOSED, hold, "b")], [at(5, LIFTED, hold, "a")]
        assert held([*begun, *ended, at(6, LIFTED, hold, "b")], flow(2, 3, 4, 5, captured=1)) == [3, 1]
    shares = [at(3, IMPOSED, RESERVE, "a", ppm=100_000), at(3, IMPOSED, RESERVE, "b", ppm=300_000)]
    assert held(shares, flow(3, captured=1_000)) == [100, 200]


def test_each_time_in_which_a_violation_was_taken_back_is_found() -> None:
    rows = [
        status("s1", "v", Status.OVERTURNED, 10),
        status("s2", "v", Status.CONFIRMED, 12),
        status("s3", "other", Status.OVERTURNED, 13),
        FactRow(0, "a1", "s", Kind.ATTRIBUTION, 14 * DAY, 14 * DAY, "v", status=Attribution.ACCEPTED),
        status("s4", "v", Status.OVERTURNED, 15),
        FactRow(0, "a2", "s", Kind.ATTRIBUTION, 16 * DAY, 16 * DAY, "v", status=Attribution.REJECTED),
    ]
    rows = [row._replace(sequence=number) for number, row in enumerate(rows, 1)]
    away = [
        (since // DAY, None if until is None else until // DAY) for since, until in find_times_taken_back("v", rows)
    ]
    assert away == [(10, 12), (14, None)]  # rejected while overturned: still taken back
    assert find_times_taken_back("v", rows[:2])[0][1] == rows[1].report_time
    assert find_times_taken_back("w", rows) == []


def test_a_measure_stands_before_and_between_overturns() -> None:
    reserve = [at(2, IMPOSED, RESERVE, ppm=100_000)]
    away = [(4 * DAY, 7 * DAY), (9 * DAY, None)]
    found = items(reserve, flow(*range(12)), [], away)
    spans = [(item.span.begin // DAY, (item.span.end or 0) // DAY, item.days, item.held_minor) for item in found]
    assert spans == [(2, 4, 2, 1_001), (7, 9, 2, 1_001)]
    assert add_up_captured([item.span for item in found], flow(*range(12)), NOW, "EUR") == 4 * 5_005
    lifted = [*reserve, at(5, LIFTED, RESERVE)]
    assert [item.days for item in items(lifted, [], [], away)] == [2]
    assert [item.days for item in items(reserve, [], [], [(1 * DAY, 3 * DAY)])] == [17]
    assert items(reserve, [], [], [(1 * DAY, None)]) == []


def test_stated_while_taken_back_counts_once_reinstated() -> None:
    reserve = [at(2, IMPOSED, RESERVE, ppm=100_000), at(3.75, UPDATED, RESERVE, ppm=200_000), at(6, LIFTED, RESERVE)]
    assert held(reserve, flow(2, 3, 5), [], [(3 * DAY + DAY // 2, 5 * DAY)]) == [1_001, 1_001]


def test_a_day_of_an_end_and_a_new_begin_counts_once() -> None:
    reserve = [at(2, IMPOSED, RESERVE, ppm=100_000), at(5, LIFTED, RESERVE)]
    noon = 3 * DAY + DAY // 2
    found = held(reserve, flow(2, 3, 4, captured=10_000), [], [(noon, noon + DAY // 4)])
    assert found == [2_000, 1_000]
