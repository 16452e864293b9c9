"""Brokers for tests: librdkafka's mock cluster with Kafka's protocol, and a real NATS server."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from nats.js import JetStreamContext

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


class NatsServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = Path(sys.executable).parent / "nats-server"
        command = str(binary) if binary.exists() else shutil.which("nats-server") or "nats-server"
        self._process = subprocess.Popen(
            [command, "-a", "127.0.0.1", "-p", str(self._port), "-js", "-sd", str(self._folder / "nats")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._port), 0.2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("nats-server does not listen")

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def call(self, work: Callable[[JetStreamContext], Coroutine[Any, Any, Any]]) -> Any:
        async def connected() -> Any:
            connection = await nats.connect(f"nats://{self.address}")
            try:
                return await work(connection.jetstream(timeout=60))
            finally:
                await connection.close()

        return asyncio.run(connected())

    def publish(self, subject: str, payloads: Sequence[bytes]) -> None:
        async def work(stream: JetStreamContext) -> None:
            for payload in payloads:
                await stream.publish(subject, payload)

        self.call(work)

    def add_stream(self, stream: str, *subjects: str, **options: Any) -> None:
        self.call(lambda js: js.add_stream(name=stream, subjects=list(subjects), **options))


@contextmanager
def nats_server(folder: Path) -> Iterator[NatsServer]:
    server = NatsServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
