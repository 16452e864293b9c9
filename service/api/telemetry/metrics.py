"""The port of /metrics: one thread, bounded connections, a time limit for each.

If all places are taken, the oldest connection is closed; a scraper sends its request at once, so it is still answered.
"""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.engine.call_pool import CallPool

MAX_CONNECTIONS = 32

REQUEST_SECONDS = 5.0

MAX_HEAD_BYTES = 8 << 10


class MetricsPort:
    """Serves a registry's metrics from `__init__` until `close`. Raises OSError if it cannot listen."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=128)
        self.port: int = listener.getsockname()[1]
        self._registry = registry
        self._open: dict[asyncio.Task[None], None] = {}
        self._loop = asyncio.new_event_loop()
        self._is_ending = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._is_ending.set)
        self._thread.join()

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # it cancels what is open at the end
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._answer, sock=listener, limit=MAX_HEAD_BYTES)
        await self._is_ending.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        if len(self._open) >= MAX_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        self._open[task] = None
        try:
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    writer.write(self._make_response(await reader.readuntil(b"\r\n\r\n")))
                    writer.close()
                    await writer.wait_closed()
        finally:
            self._open.pop(task, None)
            writer.transport.abort()

    def _make_response(self, head: bytes) -> bytes:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, target = first.partition(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if method != "GET" or target.split(" ")[0].split("?")[0] not in {"/metrics", "/"}:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        try:
            encode, kind = choose_encoder(fields.get("accept", ""))
        except (TypeError, ValueError):
            encode, kind = choose_encoder("")
        body = encode(self._registry)
        header = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return header.encode() + body


@dataclass(frozen=True)
class PoolMetrics(Collector):
    _pools: Iterable[CallPool]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield how many gRPC calls wait and run in each pool, and over how many connections."""
        calls = GaugeMetricFamily("sellertrust_calls", "Calls that wait or run.", labels=("pool", "state"))
        of_connection: Counter[str] = Counter()
        for pool in self._pools:
            waiting, running, connections = pool.counts()
            calls.add_metric((pool.name, "waiting"), waiting)
            calls.add_metric((pool.name, "running"), running)
            of_connection.update(connections)
        yield calls
        text = "Connections with calls that wait or run."
        yield GaugeMetricFamily("sellertrust_connections", text, value=len(of_connection))
        text = "Most calls of one connection that wait or run."
        yield GaugeMetricFamily("sellertrust_connection_calls", text, value=max(of_connection.values(), default=0))
