"""Lock-free counters for any thread."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class PerThread(Generic[Value]):
    """A value per thread, made by `make`; values of ended threads remain."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._local = threading.local()
        self._all: list[Value] = []
        self._lock = threading.Lock()

    def of_this_thread(self) -> Value:
        """Return this thread's value, made at the first call."""
        try:
            value: Value = self._local.value
        except AttributeError:
            value = self._local.value = self._make()
            with self._lock:
                self._all.append(value)
        return value

    def all(self) -> list[Value]:
        """Return the values of all threads, ended ones included."""
        with self._lock:
            return list(self._all)


class Tally(Generic[Key]):
    """Counts by key: each thread counts separately, and a read adds them up."""

    def __init__(self) -> None:
        self._counts: PerThread[dict[Key, int]] = PerThread(dict)

    def add(self, key: Key, number: int = 1) -> None:
        """Count in this thread, without a lock."""
        counts = self._counts.of_this_thread()
        try:
            counts[key] += number
        except KeyError:
            counts[key] = number

    def total(self, key: Key) -> int:
        """Return a key's count over all threads; 0 for an unknown key."""
        return sum(counts.get(key, 0) for counts in self._counts.all())

    def totals(self) -> dict[Key, int]:
        """Return each key's count over all threads."""
        totals: dict[Key, int] = {}
        for counts in self._counts.all():
            for key, number in list(counts.items()):  # atomic, so that no thread adds a key in between
                totals[key] = totals.get(key, 0) + number
        return totals
