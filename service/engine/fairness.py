"""Fairness among a server's marketplaces. One alone gets every seat, and its calls are first in, first out."""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Generic, TypeVar

from service.call_context import current_call
from service.engine.wire import MAX_FIELDS, walk_fields

T = TypeVar("T")

SHARE = 3
"""Most seats held for each that stays free: 3 of 4, 24 of 32."""

MAX_NAME_BYTES = 300


def find_marketplace(name: str) -> str:
    """Return the unchecked marketplace id in a resource name; "" for another name."""
    parts = name.split("/", 2)
    return parts[1] if parts[0] == "marketplaces" and len(parts) > 1 else ""


def read_marketplace(data: bytes) -> str:
    """Return the id that the last field 1 of a request names; "" if it has more than MAX_FIELDS fields.

    A parser would take 0.24 s for 16 MB of empty fields, on gRPC's own thread.
    """
    name = b""
    for count, (number, begin, end) in enumerate(walk_fields(data), 1):
        if count > MAX_FIELDS:
            return ""
        if number == 1:
            name = data[begin : min(end, begin + MAX_NAME_BYTES)]
    return find_marketplace(name.decode("ascii", "replace"))


class Turns(Generic[T]):
    """A queue whose marketplaces take turns, each with its oldest item. Not thread-safe."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._queues.values())

    def add(self, marketplace: str, item: T) -> None:
        self._queues.setdefault(marketplace, deque()).append(item)

    def take(self) -> T:
        """Take the oldest item of the marketplace whose turn it is. Raises KeyError if there is none."""
        marketplace, queue = self._queues.popitem(last=False)
        item = queue.popleft()
        if queue:
            self._queues[marketplace] = queue
        return item

    def take_newest_of_most(self) -> T:
        """Take the newest item of the marketplace with the most, of equals the last in turn."""
        marketplace, queue = max(reversed(self._queues.items()), key=lambda queue_of: len(queue_of[1]))
        item = queue.pop()
        if not queue:
            del self._queues[marketplace]
        return item

    def has(self, marketplace: str) -> bool:
        return marketplace in self._queues

    def count_ahead(self, marketplace: str) -> int:
        """Return how many items come before a new one: all of its marketplace, and at most one more of each other."""
        own_count = len(self._queues.get(marketplace, ()))
        return own_count + sum(
            min(len(queue), own_count + 1) for name, queue in self._queues.items() if name != marketplace
        )

    def clear(self) -> None:
        self._queues.clear()


class LockByTurns:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Turns[threading.Event] = Turns()
        self._is_held = False

    @contextmanager
    def hold(self, marketplace: str) -> Iterator[None]:
        """Hold the lock within the block; waiting marketplaces take turns. Waits without a limit."""
        turn = threading.Event()
        with self._lock:
            if self._is_held:
                self._waiting.add(marketplace, turn)
            else:
                self._is_held = True
                turn.set()
        turn.wait()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.take().set()
                else:
                    self._is_held = False


class Seats:
    """Seats that calls get at once or not at all. Thread-safe.

    `is_last_kept`: for who holds none.
    """

    def __init__(self, number: int, *, is_last_kept: bool = False) -> None:
        self._lock = threading.Lock()
        self._number = self._free = number
        self._held: Counter[str] = Counter()
        self._is_last_kept = is_last_kept

    @contextmanager
    def take_seat(self) -> Iterator[int]:
        """Yield 0 for a seat, else how many its marketplace, or all, hold."""
        call = current_call()
        marketplace = call.marketplace
        with self._lock:
            held = self._held[marketplace]
            has_fewer = not self._is_last_kept and held < max(self._held.values(), default=0)
            is_fair = not held or not call.has_rivals or has_fewer or held < SHARE * (self._free - 1)
            is_seated = self._free > 0 and is_fair
            seats_taken = held if self._free else self._number
            if is_seated:
                self._free -= 1
                self._held[marketplace] += 1
        try:
            yield 0 if is_seated else seats_taken
        finally:
            if is_seated:
                with self._lock:
                    self._free += 1
                    self._held -= Counter([marketplace])

    @contextmanager
    def require(self, refusal: Callable[[int], Exception]) -> Iterator[None]:
        """Give the current call a seat within the block. Raises `refusal` of `take_seat`'s number."""
        with self.take_seat() as seats_taken:
            if seats_taken:
                raise refusal(seats_taken)
            yield
