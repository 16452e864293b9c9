import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pytest

from sellertrust.client import MAX_MESSAGE_BYTES
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import ledger_service_pb2 as pb
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.api import stream_threads
from service.api.server import STOP_SECONDS
from service.api.servicers import entry_streams
from service.ledger.clock import tail
from tests.helpers.databases import BACKENDS, database
from tests.helpers.limits import Limit
from tests.helpers.moments import before_call
from tests.helpers.proxies import proxy_to
from tests.helpers.refusals import refusal, refused
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server, violation
from tests.helpers.waiting import wait_until

PARENT = f"marketplaces/{MARKET}"
WRITER = """
import sys
from service.ledger.store import Ledger
from tests.helpers.builders import identity
with Ledger.open(sys.argv[1]) as ledger:
    for line in sys.stdin:
        [done] = ledger.append("acme", [identity(line.strip(), "other")])
        print(done.sequence, flush=True)
"""


@contextmanager
def stub_of(address: str) -> Iterator[LedgerServiceStub]:
    options = (("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(address, options) as channel:
        yield LedgerServiceStub(channel)


@contextmanager
def server_on(backend: str, folder: Path, **settings: Any) -> Iterator[tuple[Running, LedgerServiceStub]]:
    with (
        database(backend, folder) as url,
        running_server(folder, database_url=url, **settings) as running,
        stub_of(running.address) as stub,
    ):
        yield running, stub


def batch(*entries: entry_pb2.Entry, parent: str = PARENT) -> pb.StreamEntriesRequest:
    return pb.StreamEntriesRequest(parent=parent, entries=entries)


def watching(stub: LedgerServiceStub, after: int = 0, parent: str = PARENT, **fields: Any) -> Any:
    call = stub.WatchEntries(pb.WatchEntriesRequest(parent=parent, after_sequence=after, **fields), timeout=60)
    return call, next(call)


def ids_of(responses: Iterator[Any], count: int) -> list[str]:
    entries = (entry.entry_id for response in responses for entry in response.entries)
    return list(islice(entries, count))


def ended(call: Any) -> grpc.StatusCode:
    return refusal(list, call).code


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
def test_each_batch_is_answered_in_order(tmp_path: Path, backend: str) -> None:
    with server_on(backend, tmp_path) as (running, stub):
        batches = [[identity(f"i{n}-{m}", f"s{m}") for m in range(3)] for n in range(20)]
        requests = [batch(*entries, parent=PARENT if not n else "") for n, entries in enumerate(batches)]
        answers = list(stub.StreamEntries(iter([*requests, batch(*batches[7])])))
        assert [answer.index for answer in answers] == list(range(21))
        sequences = [[result.sequence for result in answer.acknowledgement.results] for answer in answers]
        assert sequences[:20] == [[3 * n + 1, 3 * n + 2, 3 * n + 3] for n in range(20)]
        assert sequences[20] == sequences[7]
        assert all(result.already_present for result in answers[20].acknowledgement.results)
        assert [answer.acknowledgement.sequence for answer in answers] == [found[-1] for found in sequences]
        assert running.ledger.last()[0] == 60


def test_a_batch_that_is_refused_says_why_and_the_stream_goes_on(tmp_path: Path) -> None:
    forbidden = entry_pb2.Entry(entry_id="c")
    forbidden.status.violation = "nothing"
    forbidden.status.action = entry_pb2.ACTION_CONFIRM
    forbidden.status.actor, forbidden.status.reason = "staff", "seen"
    with server_on("sqlite", tmp_path) as (running, stub):
        requests = [
            batch(identity("a", "s")),
            batch(identity("b", "s"), violation("v w", "s", harm=0)),
            batch(forbidden),
            batch(identity("a", "t")),
            batch(),
            batch(identity("other", "s"), parent="marketplaces/other"),
            batch(identity("z", "s"), parent=""),
        ]
        first, wrong, unknown, differs, empty, elsewhere, last = stub.StreamEntries(iter(requests))
        assert first.acknowledgement.sequence == 1
        assert [field.field for field in wrong.error.fields] == ["entries[1].entry_id", "entries[1].violation.harm"]
        assert (wrong.error.code, wrong.error.reason) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "")
        assert (unknown.error.reason, unknown.error.metadata["violation"]) == ("VIOLATION_NOT_FOUND", "nothing")
        assert differs.error.reason == "ENTRY_CONTENT_DIFFERS"
        assert [field.field for field in empty.error.fields] == ["entries"]
        assert [field.field for field in elsewhere.error.fields] == ["parent"]
        assert last.acknowledgement.sequence == 2
        wait_until(lambda: bool(running.lines()))
        [line] = running.lines()
        assert (line["code"], line["received"], line["sent"]) == ("OK", 7, 7)
        assert (line["items"], line["refused"]) == (2, 5)


@pytest.mark.long
def test_a_stream_of_nowhere_ends_before_anything_is_recorded(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path) as (running, stub):
        requests = [batch(identity("i", "s"), parent=""), batch(identity("j", "s"))]
        assert ended(stub.StreamEntries(iter(requests))) is grpc.StatusCode.INVALID_ARGUMENT
        both = {"resume_token": "1-0123456789abcdef", "after_sequence": 1}
        for fields in ({"parent": "sellers/s"}, {"after_sequence": -1}, {"page_size": -1}, {"resume_token": "1"}, both):
            request = pb.WatchEntriesRequest(**({"parent": PARENT} | fields))
            assert refusal(next, stub.WatchEntries(request)).message.startswith(next(iter(fields)))
        assert running.ledger.last()[0] == 0


@pytest.mark.long
def test_a_watch_catches_up_and_follows_appends(tmp_path: Path, limit: Limit) -> None:
    with (
        database("postgresql", tmp_path) as url,
        running_server(tmp_path, database_url=url) as running,
        stub_of(running.address) as stub,
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer,
    ):
        stub.AppendEntries(pb.AppendEntriesRequest(parent=PARENT, entries=[identity(f"i{n}", "s") for n in range(7)]))
        call, first = watching(stub, page_size=3)
        assert [entry.sequence for entry in first.entries] == [1, 2, 3]
        assert first.sequence == 3
        assert ids_of(call, 4) == ["i3", "i4", "i5", "i6"]
        writer.stdin.write("elsewhere\n")
        writer.stdin.flush()
        sequence = int(writer.stdout.readline())
        response = next(one for one in call if one.entries)
        assert ([entry.entry_id for entry in response.entries], response.sequence) == (["elsewhere"], sequence)
        # only an append may wake the watch
        limit(tail, POLL_SECONDS=60)
        time.sleep(0.3)
        began = time.monotonic()
        stub.AppendEntries(pb.AppendEntriesRequest(parent=PARENT, entries=[identity("here", "s")]))
        assert ids_of(call, 1) == ["here"]
        assert time.monotonic() - began < 30
        writer.stdin.close()


def test_a_watch_of_a_quiet_seller_moves_on_with_the_ledger(tmp_path: Path, limit: Limit) -> None:
    """Otherwise it would read the whole ledger again to resume."""
    # a heartbeat that a test can wait for
    limit(entry_streams, HEARTBEAT_SECONDS=0.3)
    with server_on("sqlite", tmp_path) as (_, stub):
        append = pb.AppendEntriesRequest(parent=PARENT, entries=[identity(f"i{n}", "busy") for n in range(5)])
        stub.AppendEntries(append)
        call, first = watching(stub, parent=f"{PARENT}/sellers/quiet")
        assert (list(first.entries), first.sequence) == ([], 5)
        stub.AppendEntries(append)
        more = [exposure("x", "busy"), violation("v", "busy")]
        stub.AppendEntries(pb.AppendEntriesRequest(parent=PARENT, entries=more))
        assert next(response.sequence for response in call if response.sequence > 5) == 7
        stub.AppendEntries(pb.AppendEntriesRequest(parent=PARENT, entries=[identity("mine", "quiet")]))
        assert ids_of(call, 1) == ["mine"]


@pytest.mark.long
def test_a_resumed_watch_loses_and_repeats_nothing(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path) as (running, stub):
        appending = threading.Thread(
            target=lambda: [
                stub.AppendEntries(
                    pb.AppendEntriesRequest(
                        parent=PARENT, entries=[identity(f"i{n}-{m}", f"s{m % 3}") for m in range(9)]
                    )
                )
                for n in range(30)
            ]
        )
        appending.start()
        for parent, count in ((PARENT, 270), (f"{PARENT}/sellers/s1", 90)):
            found: list[int] = []
            position = resumed = 0
            while len(found) < count:
                call, response = watching(stub, position, parent, page_size=4)
                for _ in range(3):
                    found += [entry.sequence for entry in response.entries]
                    position = response.sequence
                    if len(found) == count:
                        break
                    response = next(call)
                call.cancel()
                resumed += 1
            assert found == sorted(set(found))
            assert resumed > 5
        appending.join()
        assert running.ledger.last()[0] == 270


def test_a_position_beyond_the_ledger_is_refused(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path) as (_, stub):
        error = refused("FAILED_PRECONDITION", "SEQUENCE_NOT_REACHED", watching, stub, after=17)
        assert error.metadata == {"last_sequence": "0"}


def test_a_page_of_a_watch_is_bounded_in_bytes(tmp_path: Path, limit: Limit) -> None:
    # twelve kilobytes in place of eight megabytes
    limit(entry_streams, MAX_PAGE_BYTES=12_000)
    with server_on("sqlite", tmp_path) as (_, stub):
        entries = [identity(f"i{n}", "s") for n in range(500)]
        entries[250].identity.attributes.update({f"a{n}": "\N{GRINNING FACE}" * 128 for n in range(20)})
        stub.AppendEntries(pb.AppendEntriesRequest(parent=PARENT, entries=entries))
        call, response = watching(stub)
        pages = [response]
        while response.sequence < 500:
            response = next(call)
            pages.append(response)
        assert [entry.entry_id for page in pages for entry in page.entries] == [f"i{n}" for n in range(500)]
        assert [page.sequence for page in pages] == [page.entries[-1].sequence for page in pages]
        assert 3 < len(pages) < 10
        assert max(page.ByteSize() for page in pages) <= 12_000 + 1_000


def test_a_stream_too_many_is_refused_at_once(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path, stream_threads=3, client_streams=3) as (running, stub):
        calls = [watching(stub)[0] for _ in range(3)]
        for call in [stub.WatchEntries(pb.WatchEntriesRequest(parent=PARENT)) for _ in range(20)]:
            assert ended(call) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "3 streams are open" in refusal(next, stub.StreamEntries(iter([batch(identity("i", "s"))]))).message
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
        error = refusal(watching, second)
        assert "2 streams of this client" in error.message
        assert (error.reason, error.metadata) == ("TOO_MANY_CALLS", {"limit": "2"})
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
            refused("UNAVAILABLE", "SERVER_STOPPING", next, call)
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
            error = refused("DEADLINE_EXCEEDED", "", next, never)
            assert "the request did not arrive within 1 s of its call" in error.message
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
        error = refused("INTERNAL", "INTERNAL", list, stub.StreamEntries(iter([batch(identity("i", "seller-17"))])))
        for secret in ("SELECT", "hunter2", "RuntimeError", "seller-17"):
            assert secret not in str(error) + repr(error.metadata)
        [line] = running.lines()
        assert line["error_id"] == error.metadata["error_id"]
        assert "RuntimeError" in line["exception"]
        assert "seller-17" not in running.log.getvalue()


def test_streams_are_counted(tmp_path: Path) -> None:
    with server_on("sqlite", tmp_path) as (running, stub):
        list(stub.StreamEntries(iter([batch(identity("i", "s")), batch(identity("j", "s"))])))
        call, _ = watching(stub)
        wait_until(lambda: bool(running.lines()))

        value = running.value
        append, watch = "LedgerService/StreamEntries", "LedgerService/WatchEntries"
        assert value("stream_messages_total", method=append, direction="received") == 2
        assert value("stream_messages_total", method=watch, direction="sent") == 1
        assert value("requests_total", method=append, code="OK") == 1
        assert value("stream_seconds_count", method=append, code="OK") == 1
        assert (value("open_streams", method=append), value("open_streams", method=watch)) == (0, 1)
        call.cancel()
        wait_until(lambda: value("open_streams", method=watch) == 0)
