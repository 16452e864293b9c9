"""Plain counters that any thread adds to without a lock; read when somebody asks for them."""

import threading
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Tally(Generic[Key]):
    """Counts by key. Each thread counts for itself, and a sum is made when it is asked for.

    A thread that has ended leaves its counts.
    """

    def __init__(self) -> None:
        self._own = threading.local()
        self._all: list[dict[Key, int]] = []
        self._lock = threading.Lock()

    def add(self, key: Key, number: int = 1) -> None:
        """Add `number` to the count under a key."""
        try:
            counts: dict[Key, int] = self._own.counts
        except AttributeError:
            counts = self._own.counts = {}
            with self._lock:
                self._all.append(counts)
        try:
            counts[key] += number
        except KeyError:
            counts[key] = number

    def total(self, key: Key) -> int:
        """Return the sum, over all threads, of the counts under a key; 0 if there is none."""
        return sum(counts.get(key, 0) for counts in self._each())

    def totals(self) -> dict[Key, int]:
        """Return the sums, over all threads, of the counts under every key."""
        found: dict[Key, int] = {}
        for counts in self._each():
            for key, number in list(counts.items()):  # whole by itself, so that no thread adds a key in between
                found[key] = found.get(key, 0) + number
        return found

    def _each(self) -> Iterator[dict[Key, int]]:
        with self._lock:
            found = list(self._all)
        return iter(found)
