import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sellertrust.client import Client, SellertrustCallError
from service.access.limits import Limit, Limits
from service.access.principals import Pattern
from tests.helpers.callers import grant
from tests.helpers.granted import EVERY, granted_server
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, violation

ANYBODY = (Pattern("dns:*.example"),)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(
    st.floats(0.1, 100),
    st.lists(st.tuples(st.floats(0, 2), st.sampled_from(["dns:a.example", "dns:b.example"])), max_size=60),
)
def test_nobody_exceeds_a_second_and_the_rate_after_it(rate: float, calls: list[tuple[float, str]]) -> None:
    clock = Clock()
    limits = Limits([Limit(ANYBODY, calls_per_second=rate)], clock)
    taken = {"dns:a.example": 0, "dns:b.example": 0}
    for pause, name in calls:
        clock.now += pause
        wait = limits.take_call([name], "read")
        taken[name] += not wait
        assert taken[name] <= max(rate, 1) + (clock.now - Clock.now) * rate + 1e-6
        if wait:
            clock.now += wait + 1e-9
            assert limits.take_call([name], "read") == 0
            taken[name] += 1


def test_classes_are_counted_apart_and_a_large_batch_overdraws() -> None:
    clock = Clock()
    limits = Limits(
        [Limit(ANYBODY, frozenset({"read"}), calls_per_second=1), Limit(ANYBODY, entries_per_second=10, streams=3)],
        clock,
    )
    names = ["dns:a.example"]
    assert limits.take_call(names, "read") == 0
    assert limits.take_call(names, "read") == pytest.approx(1)
    assert limits.take_call(names, "write") == 0
    assert limits.take_entries(names, "write", 50) == 0
    assert limits.take_entries(names, "write", 1) == pytest.approx(4.1)
    assert limits.take_entries(["dns:other.test"], "write", 1_000) == 0
    assert (limits.streams("dns:a.example"), limits.streams("dns:other.test")) == (3, 0)


def test_what_is_refused_uses_up_nothing_of_other_limits() -> None:
    clock = Clock()
    few, many = Limit((Pattern("dns:a.example"),), calls_per_second=1), Limit(ANYBODY, calls_per_second=5)
    limits = Limits([many, few], clock)
    names = ["dns:a.example", "dns:b.example"]
    assert limits.take_call(names, "read") == 0
    for _ in range(100):
        assert limits.take_call(names, "read") > 0
    for _ in range(4):
        assert limits.take_call(["dns:b.example"], "read") == 0
    assert limits.take_call(["dns:b.example"], "read") > 0


def test_new_limits_keep_what_was_used_under_the_old() -> None:
    clock = Clock()
    limits = Limits([Limit(ANYBODY, calls_per_second=2, entries_per_second=10)], clock)
    names = ["dns:a.example"]
    assert [limits.take_call(names, "read") for _ in range(3)][:2] == [0, 0]
    assert limits.take_entries(names, "stream", 100) == 0
    for rate in (2, 4, 2):
        limits = limits.renewed([Limit(ANYBODY, calls_per_second=rate, entries_per_second=10)])
        assert limits.take_call(names, "read") == pytest.approx(1 / rate)
    assert limits.take_entries(names, "write", 1) == pytest.approx(9.1)
    clock.now += 0.5
    assert limits.take_call(names, "read") == 0


def test_entries_are_counted_by_class() -> None:
    limits = Limits([Limit(ANYBODY, frozenset({"stream"}), entries_per_second=1)], Clock())
    assert [limits.take_entries(["dns:a.example"], name, 1) for name in ("write", "write", "stream")] == [0, 0, 0]
    assert limits.take_entries(["dns:a.example"], "stream", 1) > 0


def test_a_principal_has_its_streams_whoever_is_shown_besides(tmp_path: Path) -> None:
    principals = ("dns:*.example", "jwt:https://login.example#*")
    rules = "".join(grant(name, ["read_ledger"]) for name in principals)
    limits = f"[[limits]]\nprincipals = {json.dumps(principals)}\nstreams = 1\n"
    with granted_server(tmp_path, rules, limits) as callers, ExitStack() as stack:
        tokens = [callers.issuer.token_file(f"user-{number}") for number in range(2)]
        shown = [stack.enter_context(callers(name, token=one)) for name in "ab" for one in tokens]
        first, same_certificate, same_token, other = shown
        held = [first.watch_entries(MARKET)]
        next(held[0])
        for client in (same_certificate, same_token):
            assert refusal(next, client.watch_entries(MARKET, patience_seconds=0.1)).reason == "TOO_MANY_CALLS"
        held.append(other.watch_entries(MARKET))
        next(held[1])


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    limits = '\n[[limits]]\nprincipals = ["dns:a.example"]\nentries_per_second = 5\nstreams = 1\n'
    limits += '[[limits]]\nprincipals = ["dns:a.example"]\nclasses = ["slow"]\ncalls_per_second = 0.01\n'
    rules = grant("dns:*.example", ["append", "read_ledger"], **EVERY)
    with (
        granted_server(tmp_path_factory.mktemp("limits"), rules, limits) as callers,
        callers("a", service_config="{}") as a,
        callers("b") as b,
    ):
        yield a, b


def test_who_is_in_excess_is_told_when_to_go_on_and_others_go_on(clients: tuple[Client, Client]) -> None:
    a, b = clients
    assert [*a.list_entries(MARKET, "x")] == []
    with pytest.raises(SellertrustCallError) as caught:
        [*a.list_entries(MARKET, "x")]
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert caught.value.metadata == {"limit": "calls"}
    assert 50 < (caught.value.retry_delay or 0) <= 100
    for _ in range(5):
        assert [*b.list_entries(MARKET, "x")] == []
    a.append_entries(MARKET, [violation(f"a-{number}", "s") for number in range(9)])
    assert refusal(a.append_entries, MARKET, [violation("a-10", "s")]).metadata == {"limit": "entries"}
    b.append_entries(MARKET, [violation(f"b-{number}", "s") for number in range(50)])
