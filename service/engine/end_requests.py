"""Requests to end a server: SIGTERM and SIGINT."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)

BEAT_SECONDS = 0.2
"""A main thread looks so often: it sleeps through signals that the kernel delivers to another thread (1 in 20)."""


@contextmanager
def note_end_requests() -> Iterator[list[int]]:
    """Yield the signals received so far; for the main thread.

    The first one restores the earlier handlers, so a second one ends a process that does not drain.
    """
    received: list[int] = []
    earlier_handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def restore_handlers() -> None:
        for number, handler in earlier_handlers.items():
            signal.signal(number, handler)

    def note(number: int, _: object) -> None:
        received.append(number)
        restore_handlers()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield received
    finally:
        restore_handlers()
