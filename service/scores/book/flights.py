"""Computations that are under way: one a seller, however many ask, and how many callers are at it or wait for one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scoring.errors import ServerBusy
from service.call_context import current_call

WAIT_SECONDS = 2.0
"""How long a call waits for another one's computation; then it computes alone."""


class Flights:
    """The computations under way, by seller."""

    def __init__(self) -> None:
        self._under_way: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """Yield, for the `with` block, whether the caller is to compute a seller's score.

        If not, another thread computed it meanwhile, and the caller looks up what that left. Waits at most WAIT_SECONDS,
        and never beyond the caller's deadline: it is then to compute, or to refuse, by itself.
        """
        with self._lock:
            others = self._under_way.get(name)
            if others is None:
                mine = self._under_way[name] = threading.Event()
        if others is not None:
            yield not others.wait(max(0.0, min(WAIT_SECONDS, current_call().seconds_left())))
            return
        try:
            yield True
        finally:
            with self._lock:
                del self._under_way[name]
            mine.set()


class Seats:
    """How many callers compute an answer, or wait for one that is computed. Shared by threads."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def require(self) -> Iterator[None]:
        """Count the caller while it is within; ServerBusy if `number` others are."""
        with self.seat() as is_free:
            if not is_free:
                raise busy_error()
            yield

    @contextmanager
    def seat(self) -> Iterator[bool]:
        """Count the caller while it is within; give whether at most `number` are, itself included."""
        with self._lock:
            self._taken += 1
            is_free = self._taken <= self._number
        try:
            yield is_free
        finally:
            with self._lock:
                self._taken -= 1


def busy_error() -> ServerBusy:
    """Return the error of a call that would have to compute beside as many others as may."""
    return ServerBusy(
        "the score would have to be computed, and half of this server's threads for scores compute already; ask again, or"
        " another server"
    )
