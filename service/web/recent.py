import threading
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(dict[K, V]):
    """The `max_size` values put last, by key. Threads may call `put` and `drop` at once."""

    def __init__(self, max_size: int) -> None:
        super().__init__()
        self._max_size = max_size
        self._lock = threading.Lock()

    def put(self, key: K, value: V) -> None:
        """Put a value last, also under a known key; the first leaves if there are more than `max_size`."""
        with self._lock:
            self.pop(key, None)
            self[key] = value
            if len(self) > self._max_size:
                del self[next(iter(self))]

    def drop(self, key: K) -> None:
        with self._lock:
            self.pop(key, None)
