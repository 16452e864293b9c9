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
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: object) -> None:
        received.append(number)
        give_back()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield received
    finally:
        give_back()
