import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sellertrust import streams
from sellertrust.client import Client, SellertrustCallError
from sellertrust.streams import IN_FLIGHT
from sellertrust.v1.entry_pb2 import Entry
from service.api import stream_threads
from service.ledger.store import Ledger
from tests.helpers.databases import BACKENDS, database
from tests.helpers.limits import Limit
from tests.helpers.proxies import proxy_to
from tests.helpers.servers import MARKET, Running, identity, running_server, violation

NOWHERE = "127.0.0.1:9"  # the discard port: no process listens there
SERVE = """
import sys
from pathlib import Path
from service.ledger.store import Ledger
from service.bootstrap import build_server
from service.api.serving import serve
from tests.helpers.worlds import policy
from tests.helpers.servers import settings_of
settings = settings_of(data_dir=Path(sys.argv[1]), address=sys.argv[2])
ledger = Ledger.open(settings.database_url, create=True)
sys.exit(serve(build_server(settings, ledger, policy()), ledger, ready=lambda server: print(server.address, flush=True)))
"""


def batches_of(count: int, size: int = 5) -> list[list[Entry]]:
    return [[identity(f"i{n}-{m}", f"s{m}") for m in range(size)] for n in range(count)]


def recorded(ledger: Ledger) -> list[str]:
    return [row[2] for rows in ledger.entries.export(MARKET, ledger.cut()) for row in rows]


def ids_of(batches: list[list[Entry]]) -> list[str]:
    return [entry.entry_id for batch in batches for entry in batch]


def test_batches_are_acknowledged_in_order(client: Client) -> None:
    batches = batches_of(10)
    batches[4] = [violation("v w", "s")]
    acknowledged = list(client.stream_entries(MARKET, batches))
    assert [one.index for one in acknowledged] == list(range(10))
    [refused] = [one for one in acknowledged if one.error]
    assert (refused.index, refused.results, refused.sequence) == (4, [], 0)
    assert refused.error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [field for field, _ in refused.error.fields] == ["entries[0].entry_id"]
    assert acknowledged[-1].sequence == 45
    assert [result.entry_id for result in acknowledged[-1].results] == ids_of(batches[-1:])
    assert list(client.stream_entries(MARKET, [])) == []


@pytest.mark.long
def test_a_silent_source_opens_its_stream_with_its_first_batch(tmp_path: Path, limit: Limit) -> None:
    limit(stream_threads, FIRST_MESSAGE_SECONDS=0.1)

    def source() -> Iterator[list[Entry]]:
        time.sleep(0.5)
        yield from batches_of(1)

    with running_server(tmp_path) as running, running.client() as client:
        [done] = client.stream_entries(MARKET, source())
        assert (done.error, done.sequence) == (None, 5)
    assert [line["code"] for line in running.lines()] == ["OK"]


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
def test_connections_that_break_lose_nothing_and_repeat_nothing(tmp_path: Path, backend: str) -> None:
    with (
        database(backend, tmp_path) as url,
        running_server(tmp_path, database_url=url) as running,
        proxy_to(running.address) as proxy,
        Client(proxy.address) as client,
    ):
        batches = batches_of(60)
        watched: list[str] = []

        def watch() -> None:
            for response in client.watch_entries(MARKET, page_size=7):
                watched.extend(entry.entry_id for entry in response.entries)
                if len(watched) >= 300:
                    return

        watching = threading.Thread(target=watch)
        watching.start()
        acknowledged = []
        for one in client.stream_entries(MARKET, batches):
            acknowledged.append(one)
            if one.index % 10 == 5:
                proxy.cut()
        watching.join(30)
        assert [one.index for one in acknowledged] == list(range(60))
        assert [one.error for one in acknowledged] == [None] * 60
        assert proxy.cuts == 6
        assert len([line for line in running.lines() if line["method"].endswith("StreamEntries")]) > 3
        assert recorded(running.ledger) == ids_of(batches) == watched


@pytest.mark.long
def test_streams_go_on_with_a_server_that_was_killed(tmp_path: Path) -> None:

    def start(address: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", SERVE, str(tmp_path), address]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return process, process.stdout.readline().strip()

    process, address = start("127.0.0.1:0")
    batches, watched = batches_of(30), []
    with Client(address) as client:
        watching = client.watch_entries(MARKET)
        for one in client.stream_entries(MARKET, batches):
            while len(watched) < 5 * (one.index + 1):
                watched += [entry.entry_id for entry in next(watching).entries]
            if one.index in (7, 19):
                process.send_signal(signal.SIGKILL if one.index == 7 else signal.SIGTERM)
                process.wait(20)
                process.stdout.close()
                process, _ = start(address)
    process.terminate()
    assert process.wait(20) == 0
    process.stdout.close()
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        assert recorded(ledger) == ids_of(batches) == watched


@pytest.mark.long
def test_a_stream_moves_to_another_server_when_its_own_drains(tmp_path: Path) -> None:
    with running_server(tmp_path) as staying, running_server(tmp_path, drain_seconds=0.5) as going:
        with Client(f"ipv4:{going.address},{staying.address}") as client:
            watches = [client.watch_entries(MARKET) for _ in range(4)]
            for watch in watches:
                next(watch)
            going.server.drain()  # it answers nothing after this; later answers are the other server's
            client.append_entries(MARKET, [identity("i", "s")])
            for watch in watches:
                assert next(response for response in watch if response.entries).sequence == 1
        assert going.lines()


def test_acknowledgements_come_while_batches_are_being_made(client: Client) -> None:
    taken, more = [], threading.Event()

    def feed() -> Iterator[list[Entry]]:
        yield from batches_of(3)
        more.wait(30)

    for one in client.stream_entries(MARKET, feed()):
        taken.append(one.index)
        if len(taken) == 3:
            more.set()
    assert taken == [0, 1, 2]


@pytest.mark.long
def test_batches_are_read_only_a_few_ahead(client: Client) -> None:
    made = 0

    def feed() -> Iterator[list[Entry]]:
        nonlocal made
        for batch in batches_of(100):
            made += 1
            yield batch

    stream = client.stream_entries(MARKET, feed())
    for taken in range(1, 20):
        next(stream)
        time.sleep(0.01)
        assert made <= taken + IN_FLIGHT + 1
    stream.close()
    time.sleep(0.2)
    assert made < 100


def test_what_batches_raise_is_raised_after_acknowledgements(tmp_path: Path) -> None:

    def feed() -> Iterator[list[Entry]]:
        yield from batches_of(3)
        raise LookupError("the file ends in the middle of a line")

    taken: list[int] = []
    with (
        running_server(tmp_path) as running,
        running.client() as client,
        pytest.raises(LookupError, match="middle of a line"),
    ):
        taken.extend(one.index for one in client.stream_entries(MARKET, feed()))
    assert taken == [0, 1, 2]


@pytest.mark.long
def test_a_stream_that_cannot_be_had_fails_in_time_and_says_why(tmp_path: Path) -> None:
    with Client(NOWHERE) as client:
        hopeless: list[Iterator[Any]] = [
            client.stream_entries(MARKET, batches_of(1), patience_seconds=0.5),
            client.watch_entries(MARKET, patience_seconds=0.5),
        ]
        for stream in hopeless:
            with pytest.raises(SellertrustCallError) as caught:
                next(stream)
            assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    with running_server(tmp_path, stream_threads=1) as running, running.client() as client:
        first = client.watch_entries(MARKET)
        next(first)
        for stream in (client.watch_entries(MARKET), client.watch_entries("no market"), client.watch_entries("m", "")):
            with pytest.raises(SellertrustCallError) as caught:
                next(stream)
            assert caught.value.reason == "TOO_MANY_CALLS"
        first.close()
        reason = "TOO_MANY_CALLS"
        while reason == "TOO_MANY_CALLS":  # until its thread is free
            with pytest.raises(SellertrustCallError) as caught:
                next(client.watch_entries("no market"))
            reason = caught.value.reason
        assert [field for field, _ in caught.value.fields] == ["parent"]


@pytest.mark.long
def test_a_stream_is_opened_anew_and_goes_on_where_it_was(running: Running, client: Client, limit: Limit) -> None:
    limit(streams, CONNECTION_SECONDS=0.3)

    def feed() -> Iterator[list[Entry]]:
        for batch in batches_of(20):
            time.sleep(0.06)
            yield batch

    assert [one.error for one in client.stream_entries(MARKET, feed())] == [None] * 20
    assert len(running.lines()) > 2
    assert recorded(running.ledger) == ids_of(batches_of(20))


def test_a_client_that_is_closed_ends_its_streams(running: Running) -> None:
    client = running.client()
    watch = client.watch_entries(MARKET)
    next(watch)
    closing = threading.Timer(0.3, client.close)
    closing.start()
    with pytest.raises(SellertrustCallError) as caught:
        next(response for response in watch if response.entries)
    assert caught.value.code is grpc.StatusCode.CANCELLED
