import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import _server as inside

from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.access.grants_file import LOOK_SECONDS
from service.api.answers_at_once import AtOnce
from service.api.gate import Gate
from service.api.telemetry.call_records import Method
from service.engine.grpc_call import GrpcCall
from tests.helpers.callers import Authority, grant, write_grants
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, Running, call_bytes, exposure, identity, running_server
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact
from tests.service.api.test_overload import GET, REQUEST, ask, blocked, durations, value

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
    return value(running, "requests_total", method=METHOD, code=code)


def test_a_remembered_score_needs_no_thread(tmp_path: Path) -> None:
    with (
        remembering(tmp_path, worker_threads=1) as running,
        grpc.insecure_channel(running.address) as channel,
        blocked(running),
    ):
        other = pb.GetTrustScoreRequest(seller=f"marketplaces/{MARKET}/sellers/t").SerializeToString()
        method: Any = channel.unary_unary(GET)
        unknown = method.future(other, timeout=60)
        wait_until(lambda: value(running, "calls", pool="read", state="running") == 1)
        assert all(ask(channel).result() for _ in range(20))
        assert not unknown.done()
        assert count(running) == 21
        assert durations(running, METHOD, "OK") == 21
        assert value(running, "wait_seconds_count", pool="read") == 22
        assert value(running, "calls", pool="read", state="waiting") == 0
        wait_until(lambda: value(running, "connection_calls") == 1)


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
            wait_until(lambda: value(running, "calls", pool="read", state="running") == 1)
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
                    assert (
                        refusal(other.get_trust_score, MARKET, "s", deadline_seconds=10).code
                        is grpc.StatusCode.PERMISSION_DENIED
                    )
            write_grants(path, grant(everyone[0], ["read_scores"], sellers=["t"]), granted[1])
            wait_until(lambda: "grants taken over" in running.log.getvalue())
            assert b.get_trust_score(MARKET, "s").points
            assert (
                refusal(a.get_trust_score, MARKET, "s", deadline_seconds=LOOK_SECONDS + 10).code
                is grpc.StatusCode.PERMISSION_DENIED
            )
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
            AtOnce(method, lambda _: None, Gate(), None)  # type: ignore[arg-type]


def test_an_answer_that_cannot_be_sent_ends_its_call_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("too bad")

    with remembering(tmp_path) as running, grpc.insecure_channel(running.address) as channel:
        with monkeypatch.context() as patched:
            patched.setattr(GrpcCall, "_send", fail)
            assert ask(channel).code() is grpc.StatusCode.CANCELLED
        assert ask(channel).result()
        wait_until(lambda: value(running, "connections") == 0)


@pytest.mark.long
def test_an_answer_at_once_leaves_no_garbage(tmp_path: Path) -> None:
    def states() -> int:
        return sum(isinstance(one, inside._RPCState | GrpcCall) for one in gc.get_objects())

    with remembering(tmp_path) as running, grpc.insecure_channel(running.address) as channel:
        gc.collect()
        gc.disable()
        try:
            assert all(ask(channel).result() for _ in range(30))
            wait_until(lambda: states() < 5)
        finally:
            gc.enable()
