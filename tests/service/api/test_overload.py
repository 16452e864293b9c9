import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc import _server as inside
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.engine import pools
from service.engine.call_pool import CallPool
from service.engine.pools import Pool
from service.engine.waiting_line import LineRules
from tests.helpers.moments import before_call
from tests.helpers.servers import MARKET, Running, call_bytes, identity, running_server
from tests.helpers.waiting import wait_until

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


def value(running: Running, name: str, **labels: str) -> float:
    return running.registry.get_sample_value(f"sellertrust_{name}", labels) or 0


def durations(running: Running, method: str, code: str) -> float:
    labels = {"rpc_method": method, "rpc_response_status_code": code}
    return running.registry.get_sample_value("rpc_server_call_duration_seconds_count", labels) or 0


def unsent(running: Running) -> float:
    return value(running, "turned_away_total", pool="read", cause="unsent")


def health(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        return int(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20).status)


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pools, "RULES", {pool: LineRules(3, rules.target_seconds) for pool, rules in pools.RULES.items()}
    )
    monkeypatch.setattr("service.api.server.RULES", pools.RULES)
    monkeypatch.setattr("service.api.telemetry.call_records.RULES", pools.RULES)


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
            wait_until(lambda: value(running, "calls", pool="read", state="running") == 2)
            waiting = [ask(channel) for _ in range(9)]
            wait_until(lambda: sum(call.done() for call in waiting) == 6)
            refused = [call for call in waiting if call.done()]
            wait_until(lambda: value(running, "calls", pool="read", state="waiting") == 3)
            wait_until(lambda: value(running, "connections") == 1)
            wait_until(lambda: value(running, "connection_calls") == 5)
            assert health(running.address) == health_pb2.HealthCheckResponse.SERVING
            release.set()
            assert all(call.result() for call in running_calls)
            assert all(call.result() for call in waiting if call not in refused)
        for call in refused:
            assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            info, retry = ErrorInfo(), RetryInfo()
            details = rpc_status.from_call(call).details
            assert details[0].Unpack(info)
            assert details[1].Unpack(retry)
            assert info.reason == "TOO_MANY_CALLS"
            assert retry.retry_delay.ToTimedelta().total_seconds() > 0
        method = "TrustScoreService/GetTrustScore"
        wait_until(lambda: value(running, "requests_total", method=method, code="OK") == 5)
        wait_until(lambda: value(running, "requests_total", method=method, code="RESOURCE_EXHAUSTED") == 6)
        wait_until(lambda: value(running, "turned_away_total", pool="read", cause="full") == 6)
        wait_until(lambda: value(running, "wait_seconds_count", pool="read") == 11)
        wait_until(lambda: value(running, "connections") == 0)


def test_calls_that_expire_while_waiting_are_not_begun(tmp_path: Path) -> None:
    with running_server(tmp_path, worker_threads=1) as running, grpc.insecure_channel(running.address) as channel:
        with blocked(running) as release:
            first = ask(channel)
            wait_until(lambda: value(running, "calls", pool="read", state="running") == 1)
            late = [ask(channel, 0.2) for _ in range(5)]
            left = ask(channel)
            wait_until(lambda: value(running, "calls", pool="read", state="waiting") == 6)
            left.cancel()
            assert {call.code() for call in late} == {grpc.StatusCode.DEADLINE_EXCEEDED}
            release.set()
        assert first.code() is grpc.StatusCode.NOT_FOUND
        method = "TrustScoreService/GetTrustScore"
        wait_until(lambda: value(running, "requests_total", method=method, code="DEADLINE_EXCEEDED") == 5)
        wait_until(lambda: value(running, "requests_total", method=method, code="CANCELLED") == 1)
        wait_until(lambda: durations(running, method, "NOT_FOUND") == 1)
        wait_until(lambda: value(running, "turned_away_total", pool="read", cause="deadline") == 5)
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
        wait_until(lambda: value(running, "calls", pool="read", state="waiting") + unsent(running) == 5)
        assert client.get_trust_score(MARKET, "s", deadline_seconds=20).seller
        assert health(running.address) == health_pb2.HealthCheckResponse.SERVING
        assert {call.code() for call in half} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert {call.details() for call in half} == {"the request did not arrive within 1 s of its call"}
        wait_until(lambda: unsent(running) == 5)
        nothing.set()


def test_a_request_too_large_for_its_class_is_refused(running: Running) -> None:
    with pytest.raises(grpc.RpcError, match="request: is larger than 1,048,576 bytes") as caught:
        call_bytes(running.address, "TrustScoreService/GetTrustScore", b"x" * ((1 << 20) + 1), 20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


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
            wait_until(lambda: value(running, "connection_calls") == 4)
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
        pool = running.server._pools[Pool.READ]
        with monkeypatch.context() as patched:
            patched.setattr(ThreadPoolExecutor, "submit", refuse_thread)
            call = ask(channel)
            assert call.code() is grpc.StatusCode.UNAVAILABLE
        with monkeypatch.context() as patched:
            patched.setattr(CallPool, "_take_over", refuse_thread)
            assert ask(channel).code() is grpc.StatusCode.CANCELLED
        assert ask(channel).code() is grpc.StatusCode.NOT_FOUND
        wait_until(lambda: pool.counts() == (0, 0, {}))


def refuse_thread(*_: object, **__: object) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.long
def test_a_call_that_has_ended_leaves_no_garbage(client: Client) -> None:
    """Otherwise its memory and its connection slot would wait for the collector."""

    def states() -> int:
        return sum(isinstance(one, inside._RPCState) for one in gc.get_objects())

    client.append_entries(MARKET, [identity("i", "s")])
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            client.get_trust_score(MARKET, "s", deadline_seconds=20)
            client.get_trust_score(MARKET, "nobody", on_error="unknown")
            list(client.list_entries(MARKET, "s"))
        wait_until(lambda: states() < 5)
    finally:
        gc.enable()
