from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.waiting_line import INTERVAL_SECONDS, Cause, LineRules, WaitingCall, WaitingLine

DEAR = LineRules(4, target_seconds=0.005)
QUICK = LineRules(4, target_seconds=inf)


class Call(WaitingCall):
    __slots__ = ("_is_awaited",)

    def __init__(self, arrived: float, deadline: float, *, is_awaited: bool) -> None:
        super().__init__("S/M", arrived, deadline)
        self._is_awaited = is_awaited

    def is_awaited(self) -> bool:
        return self._is_awaited


class World:
    def __init__(self, rules: LineRules) -> None:
        self.now = 100.0
        self.line = WaitingLine(rules, clock=lambda: self.now)

    def call(self, seconds: float = inf, *, is_awaited: bool = True) -> WaitingCall:
        return Call(self.now, self.now + seconds, is_awaited=is_awaited)


def of_another_marketplace(world: World, seconds: float) -> WaitingCall:
    call = world.call(seconds)
    call.marketplace = "other"
    return call


def test_calls_are_taken_in_the_order_of_their_arrival() -> None:
    for rules in (DEAR, QUICK):
        world = World(rules)
        calls = [world.call() for _ in range(3)]
        assert [world.line.add(call) for call in calls] == [[], [], []]
        assert [world.line.take() for _ in range(4)] == [*((call, []) for call in calls), (None, [])]


def test_of_a_full_line_whoever_comes_is_turned_away() -> None:
    for rules in (DEAR, QUICK):
        world = World(rules)
        calls = [world.call() for _ in range(5)]
        turned_away = [one for call in calls for one in world.line.add(call)]
        assert turned_away == [(calls[4], Cause.FULL)]
        assert len(world.line) == 4


def test_calls_that_nobody_awaits_make_room_before_anybody_else() -> None:
    world = World(DEAR)
    late, gone = world.call(0.1), world.call(is_awaited=False)
    for call in (late, gone, world.call(), world.call()):
        world.line.add(call)
    world.now += 0.1
    assert world.line.add(world.call()) == [(late, Cause.DEADLINE), (gone, Cause.GONE)]
    assert len(world.line) == 3


def test_a_call_is_late_if_it_would_wait_too_long() -> None:
    world = World(QUICK)
    assert not world.line.is_late(world.call(0.001), 100)
    world.line.note_work(world.call(), 0.01)
    for ahead, seconds, is_late in (
        (4, 0.11, False),
        (4, 0.09, True),
        (5, 0.11, True),
        (0, 0.001, False),
        (99, 1.99, True),
        (99, 2.01, False),
        (99, inf, False),
    ):
        assert world.line.is_late(world.call(seconds), ahead) == is_late
        other = world.call(seconds)
        other.method = "S/other"
        assert not world.line.is_late(other, ahead)
        assert not world.line.is_late(of_another_marketplace(world, seconds), ahead)
    line = WaitingLine(QUICK, threads=4, clock=lambda: 100.0)
    line.note_work(world.call(), 0.01)
    assert not line.is_late(world.call(0.05), ahead=4)
    assert line.is_late(world.call(0.05), ahead=7)


def test_a_call_of_too_short_a_deadline_is_not_begun() -> None:
    world = World(DEAR)
    world.line.note_work(world.call(), 1.0)
    tries = 0
    while True:
        tries += 1
        call = world.call(0.5)
        world.line.add(call)
        found, turned_away = world.line.take()
        if found is not None:
            break
        assert turned_away == [(call, Cause.DEADLINE)]
    assert 3 < tries < 20


def test_lateness_follows_from_how_long_turns_take() -> None:
    world = World(LineRules(100, inf))
    world.line.note_work(world.call(), 0.001)
    assert not world.line.is_late(world.call(0.2), 10)
    for _ in range(20):
        world.line.add(world.call())
    for _ in range(19):
        assert world.line.take()[0] is not None
        world.now += 0.05
    assert world.line.is_late(world.call(0.2), 10)
    tries = 1
    while world.line.is_late(world.call(0.2), 10):
        tries += 1
    assert 10 < tries < 1_000


def test_time_in_which_nobody_waited_is_no_turn() -> None:
    world = World(LineRules(100, inf))
    world.line.note_work(world.call(), 0.001)
    for _ in range(20):
        world.line.add(world.call())
        assert world.line.take()[0] is not None
        world.now += 60
    assert not world.line.is_late(world.call(0.2), 10)


def test_expired_calls_say_nothing_of_work_times() -> None:
    world = World(QUICK)
    world.line.note_work(world.call(), 0.01)
    for _ in range(50):
        world.line.add(world.call(0.0))
    assert world.line.take()[0] is None
    assert world.line.is_late(world.call(0.09), 4)


def serve(world: World, arrivals_a_second: int, served_a_second: int, seconds: float) -> tuple[int, int, list[float]]:
    served = refused = 0
    waits: list[float] = []
    step = 1 / (arrivals_a_second * served_a_second)
    for tick in range(int(seconds / step)):
        world.now += step
        if tick % served_a_second == 0:
            refused += len(world.line.add(world.call()))
        if tick % arrivals_a_second == 0:
            found, turned_away = world.line.take()
            refused += len(turned_away)
            if found is not None:
                served += 1
                waits.append(world.now - found.arrived)
    return served, refused, waits


def test_overload_leaves_no_thread_idle() -> None:
    world = World(LineRules(64, 0.005))
    served, refused, waits = serve(world, arrivals_a_second=500, served_a_second=100, seconds=30)
    assert served >= 2_999
    assert refused > 11_000
    assert max(waits[-100:]) < 0.2


def test_a_short_burst_is_served_whole() -> None:
    world = World(LineRules(64, 0.005))
    for _ in range(40):
        world.line.add(world.call())
    found = []
    for _ in range(40):
        world.now += INTERVAL_SECONDS / 41
        found.append(world.line.take())
    assert all(call is not None and not turned_away for call, turned_away in found)


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([DEAR, QUICK]),
    st.lists(
        st.one_of(
            st.just("take"),
            st.floats(0, 0.3),
            st.tuples(st.sampled_from([inf, 0.05, 0.2, 1.0]), st.booleans()),
            st.just("clear"),
        ),
        max_size=60,
    ),
)
def test_every_call_is_taken_or_turned_away_once(rules: LineRules, steps: list[Any]) -> None:
    world = World(rules)
    added, seen = [], []
    for step in steps:
        if step == "take":
            found, turned_away = world.line.take()
            assert found is None or (found.is_awaited() and found.deadline > world.now)
            seen += [call for call, _ in turned_away] + ([found] if found else [])
        elif step == "clear":
            seen += [call for call, _ in world.line.clear()]
        elif isinstance(step, float):
            world.now += step
        else:
            added.append(world.call(step[0], is_awaited=step[1]))
            seen += [call for call, _ in world.line.add(added[-1])]
        assert len(world.line) <= rules.limit
    seen += [call for call, _ in world.line.clear()]
    assert sorted(map(id, seen)) == sorted(map(id, added))


def test_one_call_that_took_very_long_turns_nobody_away() -> None:
    world = World(LineRules(10, inf))
    for method in ("first", "among"):
        call = world.call(5.0)
        call.method = method
        for _ in range(20 if method == "among" else 0):
            world.line.note_work(call, 0.001)
        world.line.note_work(call, 60.0)
        assert not world.line.is_late(call, 1), method
    for _ in range(60):
        world.line.note_work(call, 60.0)
    assert world.line.is_late(call, 1)
