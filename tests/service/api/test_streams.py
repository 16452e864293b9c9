import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from sellertrust.client import MAX_MESSAGE_BYTES
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import ledger_service_pb2 as pb
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.api.servicers import entry_streams
from service.ledger.clock import tail
from tests.helpers.databases import BACKENDS, database
from tests.helpers.limits import Limit
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
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    return caught.value.code()


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
            batch(identity("z", "s")),
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
            with pytest.raises(grpc.RpcError) as caught:
                next(stub.WatchEntries(request))
            assert caught.value.details().startswith(next(iter(fields)))
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
        with pytest.raises(grpc.RpcError) as caught:
            watching(stub, after=17)
        info = ErrorInfo()
        assert rpc_status.from_call(caught.value).details[0].Unpack(info)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert (info.reason, dict(info.metadata)) == ("SEQUENCE_NOT_REACHED", {"last_sequence": "0"})


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
