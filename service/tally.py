"""Plain counters that any thread adds to without a lock; read when somebody asks for them."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class PerThread(Generic[Value]):
    """A value of each thread's own, which `make` makes; that of a thread which has ended stays."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._local = threading.local()
        self._all: list[Value] = []
        self._lock = threading.Lock()

    def own(self) -> Value:
        """Return this thread's value."""
        try:
            value: Value = self._local.value
        except AttributeError:
            value = self._local.value = self._make()
            with self._lock:
                self._all.append(value)
        return value

    def all(self) -> list[Value]:
        """Return the values of all threads."""
        with self._lock:
            return list(self._all)


class Tally(Generic[Key]):
    """Counts by key. Each thread counts for itself, and a sum is made when it is asked for."""

    def __init__(self) -> None:
        self._counts: PerThread[dict[Key, int]] = PerThread(dict)

    def add(self, key: Key, number: int = 1) -> None:
        """Add `number` to the count under a key."""
        counts = self._counts.own()
        try:
            counts[key] += number
        except KeyError:
            counts[key] = number

    def total(self, key: Key) -> int:
        """Return the sum, over all threads, of the counts under a key; 0 if there is none."""
        return sum(counts.get(key, 0) for counts in self._counts.all())

    def totals(self) -> dict[Key, int]:
        """Return the sums, over all threads, of the counts under every key."""
        found: dict[Key, int] = {}
        for counts in self._counts.all():
            for key, number in list(counts.items()):  # whole by itself, so that no thread adds a key in between
                found[key] = found.get(key, 0) + number
        return found
