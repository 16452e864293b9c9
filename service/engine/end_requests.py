"""Requests to end a server (SIGTERM, SIGINT), as bytes that a thread can wait for.

A main thread that waits for a lock sleeps through signals that the kernel delivers to another thread (1 in 20).
"""

import select
import signal
import socket
from collections.abc import Callable
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)

BEAT_SECONDS = 2.0


class EndRequests:
    """Takes requests in the main thread between `__enter__` and `__exit__`.

    The first signal restores the earlier handlers, so a second one ends a process that does not drain.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno())
        self._before |= {number: signal.signal(number, self._give_back) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        signal.set_wakeup_fd(self._wakeup_before)
        self._reader.close()
        self._writer.close()

    def wait(self, beat: Callable[[], object]) -> None:
        """Block until a request; call `beat` every BEAT_SECONDS meanwhile."""
        while True:
            beat()
            if select.select([self._reader], [], [], BEAT_SECONDS)[0] and self._reader.recv(1)[0] in SIGNALS:
                return

    def _give_back(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
