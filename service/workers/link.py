"""The line between a worker and its supervisor: JSON objects, a line each, over a socket pair.

The worker sends signs of life (`{}`), its address (`{"address": ...}`) and its metrics (`{"metrics": ...}`). The
supervisor sends `metrics` and `drain`. If the line ends, the worker drains.
"""

import json
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

BEAT_SECONDS = 0.5

METRICS = b"metrics\n"
DRAIN = b"drain\n"


class WorkerLink:
    """The worker's end, with its own thread. It calls `end` once."""

    def __init__(self, channel: socket.socket, end: Callable[[], None]) -> None:
        self._channel = channel
        self._end = end
        self._lock = threading.Lock()
        self._metrics: Callable[[], bytes] = lambda: b""
        threading.Thread(target=self._run, name="worker-link", daemon=True).start()

    def tell_ready(self, address: str, metrics: Callable[[], bytes]) -> None:
        self._metrics = metrics
        with suppress(OSError):
            self._send({"address": address})

    def _run(self) -> None:
        with self._channel, suppress(OSError):
            self._follow()
        self._end()

    def _follow(self) -> None:
        waiting = b""
        while True:
            self._send({})
            if not select.select([self._channel], [], [], BEAT_SECONDS)[0]:
                continue
            data = self._channel.recv(4_096)
            if not data:
                return
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                if line + b"\n" == METRICS:
                    self._send({"metrics": self._made_metrics()})
                elif line + b"\n" == DRAIN:
                    self._end()

    def _made_metrics(self) -> str:
        try:
            return self._metrics().decode()
        except Exception:  # noqa: BLE001 (whatever a collector raises)
            return ""

    def _send(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._channel.sendall(json.dumps(message).encode() + b"\n")


class Line:
    """The supervisor's end. `read` never blocks."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._waiting = bytearray()

    def fileno(self) -> int:
        return self._channel.fileno()

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the new messages, and whether the worker still lives."""
        is_there = True
        with suppress(BlockingIOError):
            while is_there:
                try:
                    data = self._channel.recv(1 << 16)
                except ConnectionError:
                    data = b""
                self._waiting += data
                is_there = bool(data)
        *lines, rest = bytes(self._waiting).split(b"\n")
        self._waiting = bytearray(rest)
        return [json.loads(line) for line in lines], is_there

    def ask(self, request: bytes) -> None:
        """Send `METRICS` or `DRAIN`, unless the worker is gone or its buffer is full."""
        with suppress(OSError):
            self._channel.send(request)

    def close(self) -> None:
        self._channel.close()
