"""Requests to end a server (SIGTERM, SIGINT, `ask`), as bytes that a thread can wait for.

A main thread that waits for a lock sleeps through signals that the kernel delivers to another thread (1 in 20). The
byte that Python's handler writes wakes the main thread.
"""

import signal
import socket
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_ASKED = 0


class EndRequests:
    """Takes requests in the main thread between `__enter__` and `__exit__`.

    The first signal, unlike `ask`, restores the earlier handlers, so a second signal ends a process that does not
    drain.
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        signal.set_wakeup_fd(self._wakeup_before)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable on a request or another signal."""
        return self._reader.fileno()

    def ask(self) -> None:
        """Request the end, from any thread, also before `__enter__`. Does nothing after `__exit__`."""
        with suppress(OSError):
            self._writer.send(bytes([_ASKED]))

    def wait(self) -> None:
        while not self.take():
            pass

    def take(self) -> bool:
        """Return whether the next byte is a request; block until a byte arrives."""
        return self._reader.recv(1)[0] in {_ASKED, *SIGNALS}

    def _give_back(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
