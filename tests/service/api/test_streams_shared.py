import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from sellertrust.v1 import ledger_service_pb2 as pb
from service.api import stream_threads
from service.api.server import STOP_SECONDS
from tests.helpers.limits import Limit
from tests.helpers.moments import before_call
from tests.helpers.proxies import proxy_to
from tests.helpers.servers import MARKET, identity
from tests.helpers.waiting import wait_until
from tests.service.api.test_streams import PARENT, batch, ended, server_on, stub_of, watching


def test_a_stream_too_many_is_refused_at_once(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path, stream_threads=3, client_streams=3) as (running, stub):
        calls = [watching(stub)[0] for _ in range(3)]
        for call in [stub.WatchEntries(pb.WatchEntriesRequest(parent=PARENT)) for _ in range(20)]:
            assert ended(call) is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError, match="3 streams are open"):
            next(stub.StreamEntries(iter([batch(identity("i", "s"))])))
        with running.client() as client:
            client.append_entries(MARKET, [identity("i", "s")])
            assert client.get_trust_score(MARKET, "s").seller
        calls[0].cancel()
        wait_until(lambda: "CANCELLED" in [line["code"] for line in running.lines()])
        watching(stub)


def test_one_client_cannot_hold_all_streams(tmp_path: Path) -> None:
    with (
        server_on("sqlite", tmp_path, stream_threads=4, client_streams=2) as (running, stub),
        proxy_to(running.address, "127.0.0.2") as elsewhere,
        stub_of(running.address) as second,
        stub_of(elsewhere.address) as other,
    ):
        calls = [watching(one)[0] for one in (stub, second)]
        with pytest.raises(grpc.RpcError, match="2 streams of this client") as caught:
            next(second.WatchEntries(pb.WatchEntriesRequest(parent=PARENT)))
        status = rpc_status.from_call(caught.value)
        info = ErrorInfo()
        assert status.details[0].Unpack(info)
        assert (info.reason, dict(info.metadata)) == ("TOO_MANY_CALLS", {"limit": "2"})
        held = [watching(other)[0] for _ in range(2)]
        calls[0].cancel()
        wait_until(lambda: "CANCELLED" in [line["code"] for line in running.lines()])
        held.append(watching(second)[0])


@pytest.mark.long
def test_reads_are_answered_while_all_streams_are_open(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path, client_streams=32) as (running, stub), running.client() as client:
        client.append_entries(MARKET, [identity("i", "s")])
        watches = [watching(stub, parent=f"{PARENT}/sellers/s")[0] for _ in range(31)]
        batches = (batch(*[identity(f"i{n}-{m}", f"t{m}") for m in range(500)]) for n in range(10_000))
        appending = stub.StreamEntries(batches)
        acknowledged: list[int] = []

        def take() -> None:
            with suppress(grpc.RpcError):
                acknowledged.extend(one.acknowledgement.sequence for one in appending)

        taking = threading.Thread(target=take)
        taking.start()
        for _ in range(100):
            client.get_trust_score(MARKET, "s", deadline_seconds=30)
        appending.cancel()
        taking.join()
        assert len(acknowledged) > 1
        assert [watch.is_active() for watch in watches] == [True] * 31


def test_a_client_that_goes_away_frees_its_thread(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path, stream_threads=2, client_streams=2) as (running, stub):
        silent = threading.Event()
        watch, _ = watching(stub, parent=f"{PARENT}/sellers/seller-17")
        append = stub.StreamEntries(iter(lambda: None if silent.wait(30) else batch(identity("i", "seller-17")), None))
        watch.cancel()
        append.cancel()
        silent.set()
        wait_until(lambda: len(running.lines()) == 2)
        late = stub.WatchEntries(pb.WatchEntriesRequest(parent=PARENT), timeout=0.3)
        assert ended(late) is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: len(running.lines()) == 3)
        lines = {line["code"]: line for line in running.lines() if line["method"] == "LedgerService/WatchEntries"}
        assert len(lines["CANCELLED"]["seller"]) == 16
        assert lines["CANCELLED"]["sent"] == 1
        assert lines["DEADLINE_EXCEEDED"]["latency_ms"] > 200
        assert "seller-17" not in running.log.getvalue()
        assert [watching(stub)[1].sequence for _ in range(2)] == [0, 0]


def test_a_draining_server_ends_its_streams(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path) as (running, stub):
        silent = threading.Event()
        requests = iter([batch(identity("i", "s"))])
        append = stub.StreamEntries(iter(lambda: next(requests, None) or (silent.wait(30) and None), None))
        assert next(append).acknowledgement.sequence == 1
        watches = [watching(stub)[0] for _ in range(5)]
        began = time.monotonic()
        running.server.drain()
        assert time.monotonic() - began < STOP_SECONDS
        for call in (append, *watches):
            with pytest.raises(grpc.RpcError) as caught:
                next(call)
            info = ErrorInfo()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert rpc_status.from_call(caught.value).details[0].Unpack(info)
            assert info.reason == "SERVER_STOPPING"
        silent.set()


@pytest.mark.long
def test_a_stream_without_a_first_message_is_ended(tmp_path: Path, limit: Limit) -> None:
    nothing, more = threading.Event(), threading.Event()

    def sent() -> Iterator[pb.StreamEntriesRequest]:
        yield batch(identity("i", "s"))
        more.wait(30)
        yield batch(identity("j", "s"))

    with server_on("sqlite", tmp_path, stream_threads=1, client_streams=1) as (running, stub):
        for _ in range(2):
            never = stub.StreamEntries(iter(lambda: nothing.wait(30) and None, None), timeout=20)
            with pytest.raises(grpc.RpcError, match="the request did not arrive within 1 s of its call") as caught:
                next(never)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            wait_until(lambda: not running.server._streams._open)
        # a wait that a test can wait for
        limit(stream_threads, FIRST_MESSAGE_SECONDS=0.2, CHECK_SECONDS=0.2)
        begun = stub.StreamEntries(sent(), timeout=30)
        assert next(begun).acknowledgement.sequence == 1
        time.sleep(0.7)
        more.set()
        assert next(begun).acknowledgement.sequence == 2
        nothing.set()


def test_a_ledger_that_is_away_ends_streams(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path) as (running, stub):
        call, _ = watching(stub)
        running.ledger.close()
        assert ended(call) is grpc.StatusCode.UNAVAILABLE
        assert ended(stub.StreamEntries(iter([batch(identity("i", "s"))]))) is grpc.StatusCode.UNAVAILABLE


def test_an_unforeseen_error_of_a_stream_tells_only_an_id(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("postgresql://trust:hunter2@db refused seller-17: SELECT * FROM entry")

    with server_on("sqlite", tmp_path) as (running, stub):
        before_call(running.ledger, "append", fail)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.StreamEntries(iter([batch(identity("i", "seller-17"))])))
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        info = ErrorInfo()
        assert rpc_status.from_call(caught.value).details[0].Unpack(info)
        for secret in ("SELECT", "hunter2", "RuntimeError", "seller-17"):
            assert secret not in caught.value.details() + str(info)
        [line] = running.lines()
        assert line["error_id"] == info.metadata["error_id"]
        assert "RuntimeError" in line["exception"]
        assert "seller-17" not in running.log.getvalue()


def test_streams_are_counted(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path) as (running, stub):
        list(stub.StreamEntries(iter([batch(identity("i", "s")), batch(identity("j", "s"))])))
        call, _ = watching(stub)
        wait_until(lambda: bool(running.lines()))

        def value(name: str, **labels: str) -> float | None:
            return running.registry.get_sample_value(f"sellertrust_{name}", labels)

        append, watch = "LedgerService/StreamEntries", "LedgerService/WatchEntries"
        assert value("stream_messages_total", method=append, direction="received") == 2
        assert value("stream_messages_total", method=watch, direction="sent") == 1
        assert value("requests_total", method=append, code="OK") == 1
        assert value("stream_seconds_count", method=append, code="OK") == 1
        assert (value("open_streams", method=append), value("open_streams", method=watch)) == (0, 1)
        call.cancel()
        wait_until(lambda: value("open_streams", method=watch) == 0)
