"""Kafka over the wire: each partition from the ledger's position; lost messages are reported."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong, SourceUnavailable
from service.ingest.sources.feed import Feed, FeedReport
from service.ingest.sources.kafka import KafkaSource
from service.ingest.sources.rejects import RejectFile
from service.ledger.records import Position
from service.ledger.store import Ledger
from tests.helpers.brokers import PARTITIONS, kafka, produce
from tests.helpers.builders import MARKET
from tests.helpers.limits import Limit
from tests.helpers.payloads import exposure, violation

TOPIC = "facts"


@pytest.fixture
def servers() -> Iterator[str]:
    with kafka() as servers:
        yield servers


def fed(ledger: Ledger, servers: str, folder: Path, *, name: str = "", topic: str = TOPIC) -> FeedReport:
    source = KafkaSource(servers, topic, name=name)
    try:
        with RejectFile(folder / "rejects.jsonl") as rejects:
            return Feed(ledger, MARKET, source, rejects, 10).run(once=True)
    finally:
        source.close()


@pytest.mark.long
def test_every_partition_is_read_to_its_end_and_on_from_there(servers: str, ledger: Ledger, tmp_path: Path) -> None:
    produce(servers, TOPIC, [(n % 3, exposure(n, f"s-{n % 3}", binary=n % 2 == 0)) for n in range(90)])
    report = fed(ledger, servers, tmp_path)
    assert report == FeedReport(appended=90, positions={0: 30, 1: 30, 2: 30})
    produce(servers, TOPIC, [(3, violation("v-1")), (0, None), (0, exposure(90, "s-0"))])
    report = fed(ledger, servers, tmp_path)
    assert report == FeedReport(appended=2, rejected=1, positions={0: 32, 1: 30, 2: 30, 3: 1})
    assert [ledger.positions.find(f"kafka://{servers}/{TOPIC}", n) for n in range(PARTITIONS)] == [32, 30, 30, 1]


@pytest.mark.long
def test_where_reading_goes_on_is_the_ledgers_to_say(servers: str, ledger: Ledger, tmp_path: Path) -> None:
    produce(servers, TOPIC, [(0, exposure(n)) for n in range(10)])
    ledger.positions.advance(Position("mine", 0, 7))
    assert fed(ledger, servers, tmp_path, name="mine") == FeedReport(appended=3, positions={0: 10})


@pytest.mark.long
def test_a_running_feed_takes_what_comes(servers: str, ledger: Ledger, tmp_path: Path) -> None:
    produce(servers, TOPIC, [(0, exposure(0))])
    source = KafkaSource(servers, TOPIC)
    with RejectFile(tmp_path / "rejects.jsonl") as rejects:
        feed = Feed(ledger, MARKET, source, rejects)
        thread = threading.Thread(target=feed.run)
        thread.start()
        produce(servers, TOPIC, [(n % PARTITIONS, exposure(n)) for n in range(1, 20)])
        deadline = time.monotonic() + 60
        while feed.report.appended < 20 and time.monotonic() < deadline:
            time.sleep(0.05)
        feed.stop()
        thread.join(10)
    source.close()
    assert ledger.last()[0] == 20
    assert [ledger.positions.find(source.name, n) for n in range(PARTITIONS)] == [5] * 4


@pytest.mark.long
def test_a_position_that_the_topic_lacks_is_said(servers: str, ledger: Ledger, tmp_path: Path) -> None:
    produce(servers, TOPIC, [(0, exposure(n)) for n in range(3)])
    ledger.positions.advance(Position(f"kafka://{servers}/{TOPIC}", 0, 1_000))
    with pytest.raises(ConfigurationWrong, match="read it under another --source name"):
        fed(ledger, servers, tmp_path)
    assert fed(ledger, servers, tmp_path, name="anew").appended == 3


def test_a_topic_that_is_not_there_is_said(servers: str, ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationWrong, match="there is no topic nowhere on these servers"):
        fed(ledger, servers, tmp_path, topic="nowhere")


@pytest.mark.long
def test_servers_that_do_not_answer_are_said(limit: Limit) -> None:
    limit("service.ingest.sources.kafka", ANSWER_SECONDS=0.5)
    source = KafkaSource("127.0.0.1:1", TOPIC)
    with pytest.raises(SourceUnavailable, match="Kafka does not answer"):
        source.partitions()
    source.close()


def test_a_setting_that_librdkafka_does_not_know_is_said() -> None:
    with pytest.raises(ConfigurationWrong, match=r"settings for Kafka cannot be used: .*no\.such\.setting"):
        KafkaSource("127.0.0.1:1", TOPIC, {"no.such.setting": "1"})
