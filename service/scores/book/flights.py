import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scoring.base.errors import ServerBusy
from service.call_context import current_call

WAIT_SECONDS = 2.0


class Flights:
    """Lets one of a seller's callers compute its score; the others wait."""

    def __init__(self) -> None:
        self._under_way: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """Yield whether the caller must compute a seller's score.

        False: another's computation has just ended. After WAIT_SECONDS or at the deadline it yields True.
        """
        with self._lock:
            running = self._under_way.get(name)
            if running is None:
                own_flight = self._under_way[name] = threading.Event()
        if running is not None:
            yield not running.wait(max(0.0, min(WAIT_SECONDS, current_call().seconds_left())))
            return
        try:
            yield True
        finally:
            with self._lock:
                del self._under_way[name]
            own_flight.set()


def busy_error(computing: int) -> ServerBusy:
    return ServerBusy(
        f"the score would have to be computed, and {computing} calls compute already, all that may or this"
        " marketplace's share; ask again, or another server"
    )
