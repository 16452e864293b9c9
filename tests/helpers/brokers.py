"""A broker for tests: librdkafka's mock cluster with Kafka's protocol."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

PARTITIONS = 4

_QUIET: dict[str, str | int | float | bool] = {"log_level": 0}


@contextmanager
def kafka() -> Iterator[str]:
    cluster = AdminClient({"test.mock.num.brokers": 3} | _QUIET)
    brokers = cluster.list_topics(timeout=60).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    del cluster


def produce(servers: str, topic: str, messages: Sequence[tuple[int, bytes | None]]) -> None:
    producer = Producer({"bootstrap.servers": servers} | _QUIET)
    failed: list[object] = []
    for partition, payload in messages:
        producer.produce(
            topic, payload, partition=partition, on_delivery=lambda error, _: failed.append(error) if error else None
        )
    assert producer.flush(20) == 0
    assert failed == []
