"""Threads of streams. Calls have their own threads, which streams would hold up for hours."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from scoring.base.errors import DeadlinePassed, TooManyCalls
from service.engine.fairness import Seats
from service.ledger.clock.tail import server_stopping_error

CHECK_SECONDS = 2.0

FIRST_MESSAGE_SECONDS = 1.0


class Streams:
    """Places for `limit` open streams, at most `client_limit` of one client.

    `pool` has a thread for each and one more, which rejects the excess, so that nothing queues.
    """

    def __init__(self, limit: int, client_limit: int, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self._limit = limit
        self._seats = Seats(limit, is_last_kept=True)
        self._client_limit = client_limit
        self._open: dict[object, frozenset[str]] = {}
        self._readers = ThreadPoolExecutor(limit, thread_name_prefix="stream-reader")
        self._lock = threading.Lock()
        self._stopping = False
        self._waiting: set[threading.Event] = set()

    @contextmanager
    def occupy_place(self, clients: Mapping[str, int]) -> Iterator[None]:
        """Occupy a place for a stream of these clients for the `with` block; raise TooManyCalls if none is free.

        `clients`: by name, the most streams of each if lower than `client_limit`; 0: no lower limit.
        """
        with self._lock:
            if len(self._open) >= self._limit:
                raise _too_many_streams_error("", self._limit)
            for client, own_limit in clients.items():
                limit = min(self._client_limit, own_limit or self._client_limit)
                if sum(client in names for names in self._open.values()) >= limit:
                    raise _too_many_streams_error(" of this client", limit)
            token = object()
            self._open[token] = frozenset(clients)
        try:
            yield
        finally:
            with self._lock:
                del self._open[token]

    def take_share(self) -> AbstractContextManager[None]:
        """Raises TooManyCalls beyond the marketplace's share."""
        return self._seats.require(partial(_too_many_streams_error, " of this marketplace beside others"))

    def read_messages(self, incoming: Iterator[bytes], check: Callable[[], object]) -> Iterator[bytes]:
        """Yield the client's messages, each read only when it is asked for.

        Raises DeadlinePassed if the first is later than FIRST_MESSAGE_SECONDS, ServerStopping between two messages.
        While the client is silent, `check` runs every `CHECK_SECONDS`; its exceptions end the stream. A separate thread
        reads, since nothing else can end a wait for a silent client.
        """
        ready = threading.Event()
        is_first = True
        with self._lock:
            self._waiting.add(ready)
        try:
            while True:
                ready.clear()
                if self._stopping:
                    raise server_stopping_error()
                reading = self._readers.submit(next, incoming, None)
                reading.add_done_callback(lambda _: ready.set())
                while not ready.wait(FIRST_MESSAGE_SECONDS if is_first else CHECK_SECONDS):
                    if is_first:
                        raise DeadlinePassed(unsent_text(FIRST_MESSAGE_SECONDS))
                    check()
                is_first = False
                if not reading.done():
                    raise server_stopping_error()
                data = reading.result()
                if data is None:
                    return
                yield data
        finally:
            with self._lock:
                self._waiting.discard(ready)

    def close(self) -> None:
        """End every stream that waits for its client, after answering arrived messages. Does not block."""
        with self._lock:
            self._stopping = True
            for ready in self._waiting:
                ready.set()

    def shutdown(self, *, wait: bool) -> None:
        for pool in (self.pool, self._readers):
            pool.shutdown(wait=wait, cancel_futures=True)


def unsent_text(seconds: float) -> str:
    """Return the refusal of a request that came too slowly."""
    return f"the request did not arrive within {seconds:g} s of its call"


def _too_many_streams_error(whose: str, limit: int) -> TooManyCalls:
    return TooManyCalls(
        f"{limit} streams{whose} are open, which is all that this server takes; close one, or try again later or at another"
        " server",
        {"limit": str(limit)},
    )
