"""Limits by caller: token buckets of calls and of entries, and a number of open streams, each principal its own."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

from service.access.principals import Pattern

CLASSES = ("read", "slow", "write", "model", "stream")
"""Classes of calls, as the server keeps threads for them."""

MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """What each principal that it names may use; 0 where it sets no limit."""

    principals: tuple[Pattern, ...]
    classes: frozenset[str] = frozenset(CLASSES)
    """The classes of calls that `calls_per_second` counts together."""
    calls_per_second: float = 0.0
    entries_per_second: float = 0.0
    streams: int = 0

    def names(self, principal: str) -> bool:
        """Return whether it is for a principal, by its name."""
        return any(pattern.matches(principal) for pattern in self.principals)


class _Bucket:
    """A token bucket that holds what comes in one second, at least one token, and may be overdrawn by one large batch."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._size = max(rate, 1.0)
        self._tokens = self._size
        self._filled = now

    def take(self, count: float, now: float) -> float:
        """Take tokens and return 0; or take none and return after how many seconds to ask again."""
        self._tokens = min(self._size, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        needed = min(count, self._size)
        if self._tokens < needed:
            return (needed - self._tokens) / self._rate
        self._tokens -= count
        return 0.0


class Limits:
    """Keeps account of what callers use. For any number of threads. The least recently seen of very many is forgotten."""

    def __init__(self, limits: Sequence[Limit] = (), clock: Callable[[], float] = monotonic) -> None:
        self._limits = tuple(limits)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[tuple[int, str, str], _Bucket] = OrderedDict()

    def take_call(self, principals: Iterable[str], call_class: str) -> float:
        """Return 0 if a call of a class is within all limits of its principals, else after how many seconds it is."""
        return self._take(
            principals, "calls", 1, lambda limit: limit.calls_per_second if call_class in limit.classes else 0
        )

    def take_entries(self, principals: Iterable[str], count: int) -> float:
        """Return 0 if so many entries are within all limits of the principals, else after how many seconds they are.

        A batch that is larger than what comes in a second is taken when the bucket is full, and overdraws it.
        """
        return self._take(principals, "entries", count, lambda limit: limit.entries_per_second)

    def streams(self, principals: Iterable[str]) -> int:
        """Return how many streams the principals may have open; 0 if no limit says."""
        found = [limit.streams for name in principals for limit in self._limits if limit.streams and limit.names(name)]
        return min(found, default=0)

    def _take(self, principals: Iterable[str], what: str, count: float, rate_of: Callable[[Limit], float]) -> float:
        if not self._limits:
            return 0.0
        now, wait = self._clock(), 0.0
        with self._lock:
            for name in principals:
                for number, limit in enumerate(self._limits):
                    rate = rate_of(limit)
                    if rate and limit.names(name):
                        wait = max(wait, self._bucket((number, what, name), rate, now).take(count, now))
        return wait

    def _bucket(self, key: tuple[int, str, str], rate: float, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(rate, now)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket
