"""The line between a worker process and the one that started it: JSON objects, a line each, over a socket pair.

The worker says that it lives (`{}`), that it answers calls (`{"address": ...}`) and, asked for them, its metrics
(`{"metrics": ...}`). It is asked for these by `metrics`, and to end by `drain`. The end of the line means that the other is
gone: a worker then drains, since nobody would ever end it.
"""

import json
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

BEAT_SECONDS = 0.5
"""How often a worker says that it lives."""

METRICS = b"metrics\n"
DRAIN = b"drain\n"


class WorkerLink:
    """The worker's end, with a thread of its own from `__init__` on. `end` is called once if the worker is to end."""

    def __init__(self, channel: socket.socket, end: Callable[[], None]) -> None:
        self._channel = channel
        self._end = end
        self._lock = threading.Lock()
        self._metrics: Callable[[], bytes] = lambda: b""
        threading.Thread(target=self._run, name="worker-link", daemon=True).start()

    def tell_ready(self, address: str, metrics: Callable[[], bytes]) -> None:
        """Say that calls are answered at an address, and by what the metrics are made from now on."""
        self._metrics = metrics
        with suppress(OSError):  # which the thread finds out, too
            self._send({"address": address})

    def _run(self) -> None:
        with self._channel, suppress(OSError):  # whoever started this process is gone
            self._follow()
        self._end()

    def _follow(self) -> None:
        """Say that the process lives, and do what is asked for, until the end of the line or `drain`."""
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
        """Return the metrics; "" if they cannot be made, by which a process that serves is not to end."""
        try:
            return self._metrics().decode()
        except Exception:  # noqa: BLE001 (whatever a collector raises)
            return ""

    def _send(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._channel.sendall(json.dumps(message).encode() + b"\n")


class Line:
    """The other end: what a worker says. `read` never blocks."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._waiting = bytearray()

    def fileno(self) -> int:
        """Return the descriptor that is readable once there is a message, or the worker is gone."""
        return self._channel.fileno()

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the messages that have arrived, and whether the worker is still there."""
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
        """Send `METRICS` or `DRAIN`; nothing happens if the worker is gone, or so far behind that nothing fits."""
        with suppress(OSError):
            self._channel.send(request)

    def close(self) -> None:
        """Close this end; a worker that is still there drains."""
        self._channel.close()
