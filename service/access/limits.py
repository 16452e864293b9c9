"""Limits per principal: token buckets of calls and entries, and open streams."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from time import monotonic

from scoring.base.frozen import frozen
from service.access.principals import Pattern

CLASSES = ("read", "slow", "write", "model", "stream")

MAX_BUCKETS = 10_000
MAX_REMEMBERED = 10_000


@frozen
class Limit:
    principals: tuple[Pattern, ...]
    classes: frozenset[str] = frozenset(CLASSES)
    calls_per_second: float = 0.0
    entries_per_second: float = 0.0
    streams: int = 0

    def applies_to(self, principal: str) -> bool:
        return any(pattern.matches(principal) for pattern in self.principals)

    @property
    def key(self) -> str:
        """Return a text that is equal for limits with the same principals and classes; they share an account."""
        texts = sorted(pattern.text for pattern in self.principals)
        return f"{' '.join(texts)} {' '.join(sorted(self.classes))}"


@dataclass(slots=True)
class _Bucket:
    """It holds one second's tokens, at least one; one large batch may overdraw it."""

    tokens: float
    filled: float

    def seconds_until(self, count: float, rate: float, now: float) -> float:
        """Fill up to `now`; return the seconds until it holds `count` tokens, or is full."""
        size = max(rate, 1.0)
        self.tokens = min(size, self.tokens + (now - self.filled) * rate)
        self.filled = now
        return max(0.0, (min(count, size) - self.tokens) / rate)


@dataclass(slots=True)
class _Accounts:
    lock: threading.Lock = field(default_factory=threading.Lock)
    buckets: OrderedDict[tuple[str, str, str], _Bucket] = field(default_factory=OrderedDict)

    def find_bucket(self, key: tuple[str, str, str], rate: float, now: float) -> _Bucket:
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self.buckets[key] = _Bucket(max(rate, 1.0), now)
            if len(self.buckets) > MAX_BUCKETS:
                self.buckets.popitem(last=False)
        self.buckets.move_to_end(key)
        return bucket


class CallerLimits:
    """Thread-safe. `call_class` is one of CLASSES."""

    def __init__(
        self,
        limits: Sequence[Limit] = (),
        clock: Callable[[], float] = monotonic,
        accounts: _Accounts | None = None,
    ) -> None:
        self._limits = tuple((limit, limit.key) for limit in limits)
        self._clock = clock
        self._accounts = accounts or _Accounts()
        self._limits_of: Callable[[str], tuple[tuple[Limit, str], ...]] = lru_cache(MAX_REMEMBERED)(self._find_limits)

    def renewed(self, limits: Sequence[Limit]) -> "CallerLimits":
        """Return other limits that go on with the same accounts, so that a changed file refills none."""
        return CallerLimits(limits, self._clock, self._accounts)

    def take_call(self, principals: Iterable[str], call_class: str) -> float:
        """Charge one call to its principals; return 0, or the seconds to wait with nothing charged."""
        return self._take(principals, call_class, "calls", 1)

    def take_call_at_once(self, principals: Iterable[str], call_class: str) -> bool:
        """Charge one call unless another thread holds the accounts; return whether it was charged."""
        return not self._take(principals, call_class, "calls", 1, is_patient=False)

    def take_entries(self, principals: Iterable[str], call_class: str, count: int) -> float:
        """Charge entries as `take_call` charges calls.

        A batch beyond a bucket's size is charged when the bucket is full, and overdraws it.
        """
        return self._take(principals, call_class, "entries", count)

    def entries_wait(self, principals: Iterable[str], call_class: str) -> float:
        """Return the seconds until one entry is within all limits; charges nothing."""
        return self._take(principals, call_class, "entries", 1, is_charged=False)

    def streams(self, principal: str) -> int:
        """Return the streams that a principal may have open; 0 without a limit."""
        numbers = [
            limit.streams for limit, _ in self._limits_of(principal) if limit.streams and "stream" in limit.classes
        ]
        return min(numbers, default=0)

    def _take(
        self,
        principals: Iterable[str],
        call_class: str,
        unit: str,
        count: float,
        *,
        is_charged: bool = True,
        is_patient: bool = True,
    ) -> float:
        """Return the seconds to wait; infinite if another thread holds the accounts and the caller is not patient."""
        if not self._limits:
            return 0.0
        rates = [
            ((key, unit, name), rate)
            for name in principals
            for limit, key in self._limits_of(name)
            if call_class in limit.classes
            and (rate := limit.calls_per_second if unit == "calls" else limit.entries_per_second)
        ]
        if not rates:
            return 0.0
        now = self._clock()
        if not self._accounts.lock.acquire(blocking=is_patient):
            return inf
        try:
            buckets = [(self._accounts.find_bucket(key, rate, now), rate) for key, rate in rates]
            wait = max(bucket.seconds_until(count, rate, now) for bucket, rate in buckets)
            if is_charged and not wait:
                for bucket, _ in buckets:
                    bucket.tokens -= count
        finally:
            self._accounts.lock.release()
        return wait

    def _find_limits(self, principal: str) -> tuple[tuple[Limit, str], ...]:
        return tuple(limit for limit in self._limits if limit[0].applies_to(principal))
