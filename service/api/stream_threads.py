"""The threads of streams, apart from those of calls, which they would hold up for hours."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from scoring.errors import TooManyCalls
from service.ledger.tail import stopping


class Streams:
    """Threads for `limit` streams at a time. One more thread turns away what is too much, so that nothing queues."""

    def __init__(self, limit: int) -> None:
        self.pool = ThreadPoolExecutor(limit + 1, thread_name_prefix="stream")
        self._limit = limit
        self._places = threading.BoundedSemaphore(limit)
        self._readers = ThreadPoolExecutor(limit, thread_name_prefix="stream-reader")
        self._lock = threading.Lock()
        self._stopping = False
        self._waiting: set[threading.Event] = set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Holds a place for a stream. TooManyCalls if all are taken."""
        if not self._places.acquire(blocking=False):
            raise TooManyCalls(
                f"{self._limit} streams are open, which is all that this server takes; close one, try again later or at"
                " another server, or have its operator raise SELLERTRUST_STREAM_THREADS",
                {"limit": str(self._limit)},
            )
        try:
            yield
        finally:
            self._places.release()

    def messages(self, incoming: Iterator[bytes]) -> Iterator[bytes]:
        """What a client sends, read one at a time when it is asked for: gRPC's flow control then holds up the rest.

        ServerStopping, between two messages, once the server is about to stop. A thread of its own reads, because
        nothing else can end a wait for a client that is silent.
        """
        ready = threading.Event()
        with self._lock:
            self._waiting.add(ready)
        try:
            while True:
                ready.clear()
                if self._stopping:
                    raise stopping()
                reading = self._readers.submit(next, incoming, None)
                reading.add_done_callback(lambda _: ready.set())
                ready.wait()
                if not reading.done():
                    raise stopping()
                data = reading.result()
                if data is None:
                    return
                yield data
        finally:
            with self._lock:
                self._waiting.discard(ready)

    def close(self) -> None:
        """Ends every stream that waits for its client; what has arrived is answered first."""
        with self._lock:
            self._stopping = True
            for ready in self._waiting:
                ready.set()

    def shutdown(self) -> None:
        """Lets go of the threads, once the streams have ended."""
        self.pool.shutdown()
        self._readers.shutdown()
