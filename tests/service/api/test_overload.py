import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import _server as inside

from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.access.grants_file import LOOK_SECONDS
from service.api.answers_at_once import AtOnce
from service.api.gate import CallGate
from service.api.telemetry.call_records import Method
from service.engine import pools
from service.engine.call_pool import CallPool
from service.engine.grpc_call import GrpcCall
from service.engine.pools import Pool
from service.engine.waiting_line import LineRules
from tests.helpers.callers import Authority, grant, write_grants
from tests.helpers.moments import before_call
from tests.helpers.refusals import denied, refused
from tests.helpers.servers import MARKET, SERVING, Running, call_bytes, exposure, health_of, identity, running_server
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact

GET = "/sellertrust.v1.TrustScoreService/GetTrustScore"
REQUEST = pb.GetTrustScoreRequest(seller=f"marketplaces/{MARKET}/sellers/s").SerializeToString()


@contextmanager
def blocked(running: Running) -> Iterator[threading.Event]:
    release = threading.Event()
    before_call(running.scorer, "scores", lambda: release.wait(30))
    try:
        yield release
    finally:
        release.set()


def ask(channel: grpc.Channel, seconds: float | None = 20) -> Any:
    method: Any = channel.unary_unary(GET)
    return method.future(REQUEST, timeout=seconds)


def durations(running: Running, method: str, code: str) -> float:
    labels = {"rpc_method": method, "rpc_response_status_code": code}
    return running.registry.get_sample_value("rpc_server_call_duration_seconds_count", labels) or 0


def unsent(running: Running) -> float:
    return running.value("turned_away_total", pool="read", cause="unsent")


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_lines(monkeypatch)


def shorten_lines(monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
    rules = {pool: LineRules(3, rule.target_seconds, **more) for pool, rule in pools.RULES.items()}
    monkeypatch.setattr(pools, "RULES", rules)
    monkeypatch.setattr("service.api.server.RULES", rules)
    monkeypatch.setattr("service.api.telemetry.call_records.RULES", rules)


@pytest.mark.usefixtures("short_lines")
def test_calls_beyond_the_line_are_refused_and_counted(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, worker_threads=2, book_sellers=0) as running,
        running.client() as client,
        grpc.insecure_channel(running.address) as channel,
    ):
        client.append_entries(MARKET, [identity("i", "s")])
        with blocked(running) as release:
            running_calls = [ask(channel) for _ in range(2)]
            wait_until(lambda: running.value("calls", pool="read", state="running") == 2)
            waiting = [ask(channel) for _ in range(9)]
            wait_until(lambda: sum(call.done() for call in waiting) == 6)
            beyond = [call for call in waiting if call.done()]
            wait_until(lambda: running.value("calls", pool="read", state="waiting") == 3)
            wait_until(lambda: running.value("connections") == 1)
            wait_until(lambda: running.value("connection_calls") == 5)
            assert health_of(running.address) == SERVING
            release.set()
            assert all(call.result() for call in running_calls)
            assert all(call.result() for call in waiting if call not in beyond)
        for call in beyond:
            assert (refused("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS", call.result).retry_delay or 0) > 0
        wait_until(lambda: running.value("requests_total", method=METHOD, code="OK") == 5)
        wait_until(lambda: running.value("requests_total", method=METHOD, code="RESOURCE_EXHAUSTED") == 6)
        wait_until(lambda: running.value("turned_away_total", pool="read", cause="full") == 6)
        wait_until(lambda: running.value("wait_seconds_count", pool="read") == 11)
        wait_until(lambda: running.value("connections") == 0)


def test_calls_that_expire_while_waiting_are_not_begun(tmp_path: Path) -> None:
    with running_server(tmp_path, worker_threads=1) as running, grpc.insecure_channel(running.address) as channel:
        with blocked(running) as release:
            first = ask(channel)
            wait_until(lambda: running.value("calls", pool="read", state="running") == 1)
            late = [ask(channel, 0.2) for _ in range(5)]
            left = ask(channel)
            wait_until(lambda: running.value("calls", pool="read", state="waiting") == 6)
            left.cancel()
            assert {call.code() for call in late} == {grpc.StatusCode.DEADLINE_EXCEEDED}
            release.set()
        assert first.code() is grpc.StatusCode.NOT_FOUND
        wait_until(lambda: running.value("requests_total", method=METHOD, code="DEADLINE_EXCEEDED") == 5)
        wait_until(lambda: running.value("requests_total", method=METHOD, code="CANCELLED") == 1)
        wait_until(lambda: durations(running, METHOD, "NOT_FOUND") == 1)
        wait_until(lambda: running.value("turned_away_total", pool="read", cause="deadline") == 5)
        turned_away = [line.get("turned_away") for line in running.lines()]
        assert sorted(filter(None, turned_away)) == ["deadline"] * 5 + ["gone"]


@pytest.mark.long
def test_a_call_without_its_request_holds_no_thread(tmp_path: Path) -> None:
    nothing = threading.Event()

    def silent() -> Iterator[bytes]:
        nothing.wait(30)
        yield from ()

    with (
        running_server(tmp_path, worker_threads=1, stream_threads=1) as running,
        grpc.insecure_channel(running.address) as channel,
        running.client() as client,
    ):
        client.append_entries(MARKET, [identity("i", "s")])
        watch = "/sellertrust.v1.LedgerService/WatchEntries"
        check = "/grpc.health.v1.Health/Check"
        stream: Any = channel.stream_stream
        half = [stream(method)(silent(), timeout=20) for method in (GET, watch, check) for _ in range(5)]
        wait_until(lambda: running.value("calls", pool="read", state="waiting") + unsent(running) == 5)
        assert client.get_trust_score(MARKET, "s", deadline_seconds=20).seller
        assert health_of(running.address) == SERVING
        assert {call.code() for call in half} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert {call.details() for call in half} == {"the request did not arrive within 1 s of its call"}
        wait_until(lambda: unsent(running) == 5)
        nothing.set()


def test_the_connection_with_most_in_transit_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_lines(monkeypatch, message_seconds=60.0)
    nothing = threading.Event()

    def silent() -> Iterator[bytes]:
        nothing.wait(60)
        yield from ()

    def begin(channel: grpc.Channel) -> Any:
        stream: Any = channel.stream_stream(GET)
        return stream(silent(), timeout=60)

    option = [("grpc.use_local_subchannel_pool", 1)]
    with (
        running_server(tmp_path) as running,
        grpc.insecure_channel(running.address, option) as one,
        grpc.insecure_channel(running.address, option) as other,
    ):
        first = begin(one)
        wait_until(lambda: running.value("calls", pool="read", state="waiting") == 1)
        rest = [begin(other) for _ in range(3)]
        wait_until(lambda: first.done() or any(call.done() for call in rest))
        assert ([call.done() for call in rest].count(True), first.done()) == (1, False)
        nothing.set()


def test_a_request_too_large_for_its_class_is_refused(running: Running) -> None:
    request = b"x" * ((1 << 20) + 1)
    error = refused("INVALID_ARGUMENT", "", call_bytes, running.address, METHOD, request, 20)
    assert "request: is larger than 1,048,576 bytes" in error.message


def test_a_connection_has_no_more_calls_at_a_time_than_it_may(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, worker_threads=1, connection_calls=4) as running,
        running.client() as client,
        grpc.insecure_channel(running.address) as channel,
    ):
        client.append_entries(MARKET, [identity("i", "s")])
        assert ask(channel).result()
        with blocked(running) as release:
            calls = [ask(channel) for _ in range(20)]
            wait_until(lambda: running.value("connection_calls") == 4)
            assert client.channel is not channel
            release.set()
            assert all(call.result() for call in calls)


def test_connections_beyond_what_may_be_open_are_closed(tmp_path: Path) -> None:
    with running_server(tmp_path, max_connections=2) as running:
        channels = [grpc.insecure_channel(running.address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(4)]
        try:
            codes = [call.code() for call in [ask(channel, 3) for channel in channels]]
        finally:
            for channel in channels:
                channel.close()
        assert codes.count(grpc.StatusCode.NOT_FOUND) == 2


def test_a_pool_without_threads_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(tmp_path) as running, grpc.insecure_channel(running.address) as channel:
        with monkeypatch.context() as patched:
            patched.setattr(ThreadPoolExecutor, "submit", refuse_thread)
            call = ask(channel)
            assert call.code() is grpc.StatusCode.UNAVAILABLE
        with monkeypatch.context() as patched:
            patched.setattr(CallPool, "_take_over", refuse_thread)
            assert ask(channel).code() is grpc.StatusCode.CANCELLED
        assert ask(channel).code() is grpc.StatusCode.NOT_FOUND
        calls = [{"pool": Pool.READ.value, "state": state} for state in ("waiting", "running")]
        wait_until(lambda: [running.registry.get_sample_value("sellertrust_calls", one) for one in calls] == [0, 0])
        assert running.registry.get_sample_value("sellertrust_connections") == 0


def refuse_thread(*_: object, **__: object) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.long
def test_a_call_that_has_ended_leaves_no_garbage(tmp_path: Path) -> None:
    """Otherwise its memory and its connection slot would wait for the collector."""

    def states() -> int:
        return sum(isinstance(one, inside._RPCState | GrpcCall) for one in gc.get_objects())

    with remembering(tmp_path) as running, running.client() as client:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                client.get_trust_score(MARKET, "s", deadline_seconds=20)
                client.get_trust_score(MARKET, "nobody", on_error="unknown")
                ask(client.channel).cancel()
                list(client.list_entries(MARKET, "s"))
            assert running.book.tally.total("hit") >= 20
            wait_until(lambda: states() < 5)
        finally:
            gc.enable()


METHOD = "TrustScoreService/GetTrustScore"


@contextmanager
def remembering(folder: Path, **settings: Any) -> Iterator[Running]:
    socket = settings.get("socket")
    with running_server(folder, artifact=artifact(), **settings) as running:
        target = running.address if socket is None else f"unix:{socket}"
        with Client(target, deadline_seconds=30) as client:
            client.append_entries(MARKET, [identity("i", "s"), exposure("x", "s", 2_000)])
            client.get_trust_score(MARKET, "s")
        yield running


def count(running: Running, code: str = "OK") -> float:
    return running.value("requests_total", method=METHOD, code=code)


def test_a_remembered_score_needs_no_thread(tmp_path: Path) -> None:
    with (
        remembering(tmp_path, worker_threads=1) as running,
        grpc.insecure_channel(running.address) as channel,
        blocked(running),
    ):
        other = pb.GetTrustScoreRequest(seller=f"marketplaces/{MARKET}/sellers/t").SerializeToString()
        method: Any = channel.unary_unary(GET)
        unknown = method.future(other, timeout=60)
        wait_until(lambda: running.value("calls", pool="read", state="running") == 1)
        assert all(ask(channel).result() for _ in range(20))
        assert not unknown.done()
        assert count(running) == 21
        assert durations(running, METHOD, "OK") == 21
        assert running.value("wait_seconds_count", pool="read") == 22
        assert running.value("calls", pool="read", state="waiting") == 0
        wait_until(lambda: running.value("connection_calls") == 1)


def test_a_known_caller_needs_no_thread(tmp_path: Path) -> None:
    authority, path, local = Authority(tmp_path), tmp_path / "grants.toml", tmp_path / "local"
    write_grants(path, grant("dns:a.example", ["read_scores"]))
    settings = {"grants": path, "socket": local, "worker_threads": 1, **authority.server_settings()}
    with (
        remembering(tmp_path, **settings) as running,
        running.client(**authority.certificate(dns=["a.example"]).options()) as client,
        Client(f"unix:{local}") as local_client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.get_trust_score(MARKET, "s")
        with blocked(running):
            unknown = pool.submit(local_client.get_trust_score, MARKET, "t", deadline_seconds=60, on_error="unknown")
            wait_until(lambda: running.value("calls", pool="read", state="running") == 1)
            assert all(client.get_trust_score(MARKET, "s", deadline_seconds=20).points for _ in range(5))
            assert not unknown.done()
            assert {line["caller"] for line in running.lines()[-5:]} == {"dns:a.example"}


def test_an_answer_at_once_is_logged_like_others(tmp_path: Path) -> None:
    with remembering(tmp_path) as running:
        call_bytes(running.address, METHOD, REQUEST)
        computed, remembered = (line for line in running.lines() if line["method"] == METHOD)
    times = ("latency_ms", "wait_ms", "timestamp")
    assert {key: computed.pop(key) for key in times}.keys() == {key: remembered.pop(key) for key in times}.keys()
    assert remembered == computed
    assert computed["caller"] == "local"


@pytest.mark.long
def test_a_remembered_score_is_told_to_granted_callers_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path, local = tmp_path / "grants.toml", tmp_path / "local"
    everyone = ["dns:a.example", "dns:b.example"]
    granted = [grant(name, ["read_scores"], sellers=["s"]) for name in everyone]
    write_grants(path, granted[0], grant(everyone[1], ["read_scores"], sellers=["t"]))
    shown = {name: authority.certificate(dns=[name]).options() for name in ("a.example", "b.example", "c.example")}
    with remembering(tmp_path, grants=path, socket=local, **authority.server_settings()) as running:
        a, b, c = (running.client(**options) for options in shown.values())
        with a, b, c:
            for _ in range(3):
                assert a.get_trust_score(MARKET, "s").points
                for other in (b, c):
                    denied(other.get_trust_score, MARKET, "s", deadline_seconds=10)
            write_grants(path, grant(everyone[0], ["read_scores"], sellers=["t"]), granted[1])
            wait_until(lambda: "grants taken over" in running.log.getvalue())
            assert b.get_trust_score(MARKET, "s").points
            denied(a.get_trust_score, MARKET, "s", deadline_seconds=LOOK_SECONDS + 10)
        assert count(running, "PERMISSION_DENIED") == 7


def test_remembered_scores_count_against_limits(tmp_path: Path) -> None:
    authority, path, local = Authority(tmp_path), tmp_path / "grants.toml", tmp_path / "local"
    limit = '[[limits]]\nprincipals = ["dns:a.example"]\nclasses = ["read"]\ncalls_per_second = 3\n'
    write_grants(path, grant("dns:a.example", ["read_scores"]), limit)
    shown = authority.certificate(dns=["a.example"]).options()
    with remembering(tmp_path, grants=path, socket=local, **authority.server_settings()) as running:
        before = count(running)
        began = time.monotonic()
        with running.client(**shown, service_config="{}") as client:
            for _ in range(15):
                with suppress(SellertrustCallError):
                    client.get_trust_score(MARKET, "s", deadline_seconds=10)
        answered = count(running) - before
        assert 3 <= answered <= 4 + 3 * (time.monotonic() - began)
        assert count(running, "RESOURCE_EXHAUSTED") == 15 - answered > 0


def test_audited_methods_are_never_answered_at_once() -> None:
    """An audit write would block the only serving thread of gRPC."""
    names = ("LedgerService/GetViolation", "LedgerService/AppendEntries", "ModelService/PromoteModel")
    for name in names:
        method = Method(name, pb.GetTrustScoreRequest, takes_stream=False, gives_stream=False, call_class="read")
        with pytest.raises(TypeError, match=f"{name} cannot be answered at once"):
            AtOnce(method, lambda _: None, CallGate(), None)  # type: ignore[arg-type]


def test_an_answer_that_cannot_be_sent_ends_its_call_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("too bad")

    with remembering(tmp_path) as running, grpc.insecure_channel(running.address) as channel:
        with monkeypatch.context() as patched:
            patched.setattr(GrpcCall, "_send", fail)
            assert ask(channel).code() is grpc.StatusCode.CANCELLED
        assert ask(channel).result()
        wait_until(lambda: running.value("connections") == 0)


SELLERS = ["known", "a", "b", "c"]


@contextmanager
def half_computing(tmp_path: Path, **asked: Any) -> Iterator[tuple[Running, Client]]:
    with (
        running_server(tmp_path, artifact=artifact(), worker_threads=4) as running,
        running.client(service_config={}) as client,
        ExitStack() as stack,
    ):
        for name in SELLERS:
            client.append_entries(MARKET, [identity(f"i-{name}", name), exposure(f"x-{name}", name)])
        client.get_trust_score(MARKET, "known")
        release, begun, scores = threading.Event(), threading.Semaphore(0), running.scorer.scores

        def wait(*arguments: Any) -> Any:
            begun.release()
            release.wait(30)
            return scores(*arguments)

        stack.callback(setattr, running.scorer, "scores", scores)
        running.scorer.scores = wait  # type: ignore[method-assign]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        stack.callback(release.set)
        for name in ("a", "b"):
            pool.submit(client.get_trust_score, MARKET, name, deadline_seconds=30, **asked)
            assert begun.acquire(timeout=30)
        yield running, client


def test_at_most_half_of_the_threads_compute(
    tmp_path: Path,
) -> None:
    with half_computing(tmp_path) as (running, client):
        for _ in range(10):
            error = refused("UNAVAILABLE", "SERVER_BUSY", client.get_trust_score, MARKET, "c", deadline_seconds=20)
            assert error.retry_delay == 1
            found = client.get_trust_score(MARKET, "known", deadline_seconds=20)
            assert found.freshness.state == pb.FRESHNESS_STATE_FRESH
        wait_until(lambda: running.value("requests_total", method=METHOD, code="UNAVAILABLE") == 10)


def test_scores_of_stated_times_take_half_of_the_threads(tmp_path: Path) -> None:
    times = {"known_time": datetime(2020, 1, 1, tzinfo=UTC)}
    with half_computing(tmp_path, **times) as (_, client):
        refused("UNAVAILABLE", "SERVER_BUSY", client.get_trust_score, MARKET, "known", deadline_seconds=20, **times)
        assert client.get_trust_score(MARKET, "known", deadline_seconds=20).points
