"""Plain counters that any thread adds to without a lock; read when somebody asks for them."""

import threading
from collections import Counter


class Tally:
    """Counts by name. Each thread counts for itself, and `total` adds up; a thread that has ended leaves its counts."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._all: list[Counter[str]] = []
        self._lock = threading.Lock()

    def add(self, name: str, number: int = 1) -> None:
        """Add `number` to the count under a name."""
        try:
            counts: Counter[str] = self._own.counts
        except AttributeError:
            counts = self._own.counts = Counter()
            with self._lock:
                self._all.append(counts)
        counts[name] += number

    def total(self, name: str) -> int:
        """Return the sum, over all threads, of the counts under a name; 0 if there is none."""
        with self._lock:
            return sum(counts[name] for counts in self._all)
