import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong, SourceUnavailable
from service.ingest.sources import nats as module
from service.ingest.sources.feed import Feed, FeedReport
from service.ingest.sources.nats import NatsSource
from service.ingest.sources.rejects import RejectFile
from service.ledger.records import Position
from service.ledger.store import Ledger
from tests.helpers.brokers import NatsServer, nats_server
from tests.helpers.builders import MARKET
from tests.helpers.payloads import exposure, violation
from tests.helpers.waiting import wait_until

STREAM = "FACTS"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as server:
        server.add_stream(STREAM, "facts.*")
        yield server


def fed(
    ledger: Ledger, server: NatsServer, folder: Path, *, name: str = "", stream: str = STREAM, subject: str = ""
) -> FeedReport:
    source = NatsSource(server.address, stream, subject, name=name)
    try:
        with RejectFile(folder / "rejects.jsonl") as rejects:
            return Feed(ledger, MARKET, source, rejects, 10).run(once=True)
    finally:
        source.close()


@pytest.mark.long
def test_a_stream_is_read_to_its_end_and_on_from_there(server: NatsServer, ledger: Ledger, tmp_path: Path) -> None:
    server.publish("facts.a", [exposure(n, binary=n % 2 == 0) for n in range(60)])
    assert fed(ledger, server, tmp_path) == FeedReport(appended=60, positions={0: 61})
    server.publish("facts.b", [violation("v-1"), b"", exposure(60)])
    assert fed(ledger, server, tmp_path) == FeedReport(appended=2, rejected=1, positions={0: 64})
    assert fed(ledger, server, tmp_path) == FeedReport(positions={0: 64})
    before = ledger.seals.last()
    again = fed(ledger, server, tmp_path, name="again")
    assert (again.appended, again.already_present) == (0, 62)
    assert ledger.seals.last() == before


@pytest.mark.long
def test_a_subject_alone_is_read(server: NatsServer, ledger: Ledger, tmp_path: Path) -> None:
    for n in range(4):
        server.publish(f"facts.{'ab'[n % 2]}", [exposure(n)])
    assert fed(ledger, server, tmp_path, subject="facts.a") == FeedReport(appended=2, positions={0: 4})


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_is_restarted_amid_reading_costs_nothing(
    server: NatsServer, ledger: Ledger, tmp_path: Path, how: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 2)
    source = NatsSource(server.address, STREAM)
    with RejectFile(tmp_path / "rejects.jsonl") as rejects:
        feed = Feed(ledger, MARKET, source, rejects)
        thread = threading.Thread(target=feed.run)
        thread.start()
        for number in range(3):
            server.publish("facts.a", [exposure(20 * number + n) for n in range(20)])
            wait_until(lambda wanted=20 * number + 1: feed.report.appended + feed.report.already_present >= wanted)  # type: ignore[misc]
            server.stop(how)
            time.sleep(0.2)
            server.start()
        server.publish("facts.a", [exposure(60)])
        wait_until(lambda: ledger.last()[0] == 61)
        feed.stop()
        thread.join(20)
    source.close()
    assert feed.report.appended + feed.report.already_present == 61
    assert feed.report.already_present == 0
    assert ledger.positions.find(source.name, 0) == 62


@pytest.mark.long
def test_where_reading_goes_on_is_the_ledgers_to_say(server: NatsServer, ledger: Ledger, tmp_path: Path) -> None:
    server.publish("facts.a", [exposure(n) for n in range(10)])
    ledger.positions.advance(Position("mine", 0, 8))
    assert fed(ledger, server, tmp_path, name="mine") == FeedReport(appended=3, positions={0: 11})
    assert [info.config.durable_name for info in server.call(lambda js: js.consumers_info(STREAM))] in ([], [None])


@pytest.mark.long
def test_what_was_on_its_way_when_the_row_broke_is_read_again(
    server: NatsServer, ledger: Ledger, tmp_path: Path
) -> None:
    server.publish("facts.a", [exposure(n) for n in range(6)])
    source = NatsSource(server.address, STREAM, name="gap")
    source.seek(0, None)
    assert [found.next_position for found in source.poll(2, 1)] == [2, 3]
    assert source._consumer is not None
    source._run(source._consumer.fetch(2, timeout=1))
    assert not source.caught_up()
    found = [message.next_position for _ in range(4) for message in source.poll(10, 0.5)]
    assert found == [4, 5, 6, 7]
    source._run(source._begin())
    server.publish("facts.a", [exposure(6)])
    assert source._consumer is not None
    source._run(source._consumer.fetch(1, timeout=1))
    assert not source.caught_up()
    assert [message.next_position for _ in range(4) for message in source.poll(10, 0.3)] == [8]
    assert source.caught_up()
    source.close()


@pytest.mark.long
def test_positions_that_the_stream_lacks_are_said(server: NatsServer, ledger: Ledger, tmp_path: Path) -> None:
    server.publish("facts.a", [exposure(n) for n in range(5)])
    ledger.positions.advance(Position("far", 0, 100))
    with pytest.raises(ConfigurationWrong, match="ends at 5, before 100"):
        fed(ledger, server, tmp_path, name="far")
    server.call(lambda js: js.purge_stream(STREAM, seq=4))
    ledger.positions.advance(Position("early", 0, 2))
    with pytest.raises(ConfigurationWrong, match="begins at 4, after 2"):
        fed(ledger, server, tmp_path, name="early")
    assert fed(ledger, server, tmp_path, name="new").appended == 2


def test_a_stream_that_is_not_there_is_said(server: NatsServer, ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationWrong, match="there is no stream NOWHERE"):
        fed(ledger, server, tmp_path, stream="NOWHERE")


@pytest.mark.long
def test_a_server_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 1)
    source = NatsSource("127.0.0.1:1", STREAM)
    with pytest.raises(SourceUnavailable, match="NATS does not answer"):
        source.partitions()
    source.close()
