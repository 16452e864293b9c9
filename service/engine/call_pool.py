"""Bounded pools of threads for gRPC's calls.

By default gRPC queues calls without a limit, and begins calls that no one awaits. A `CallPool` gives a call a thread
only once its request has arrived, and only if there is no immediate answer.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, Protocol, cast

import grpc

from service.engine.fairness import read_marketplace
from service.engine.grpc_call import GrpcCall, is_handed_over
from service.engine.turnstile import Turnstile
from service.engine.waiting_line import Cause, LineRules, TurnedAway, WaitingLine

LOOK_SECONDS = 0.2
"""The interval between checks for late requests and for held calls that are due."""


class PoolCounts(NamedTuple):
    waiting: int
    running: int
    calls_of_connection: dict[str, int]


class Observer(Protocol):
    def waited(self, pool: str, seconds: float) -> None:
        """Record a call's wait for a thread."""

    def turned_away(self, pool: str, call: GrpcCall, cause: Cause) -> None:
        """Record a call that was refused before its work began."""

    def status(self, pool: str, cause: Cause) -> grpc.Status:
        """Return the gRPC status for a cause of refusal."""


_THREAD = threading.local()


def begin_taken_call() -> GrpcCall | None:
    """Return the call that this thread of a `CallPool` works for, and mark it as begun; None in other threads."""
    call: GrpcCall | None = getattr(_THREAD, "call", None)
    if call is not None:
        call.is_begun = True
    return call


class CallPool(ThreadPoolExecutor):
    """Threads for a class of calls, as gRPC takes them (`experimental_thread_pool`)."""

    def __init__(
        self, name: str, threads: int, rules: LineRules, observer: Observer, turnstile: Turnstile | None = None
    ) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self.name = name
        self.taken_over = 0
        self._rules = rules
        self._observer = observer
        self._turnstile = turnstile or Turnstile()
        self._held: deque[tuple[float, GrpcCall]] = deque()
        self._lock = threading.Lock()
        self._line = WaitingLine(rules, threads)
        # One operation of a dict is atomic, so a call that is answered at once takes no lock.
        self._calls: dict[int, GrpcCall] = {}
        self._receiving: dict[int, GrpcCall] = {}
        self._running = 0
        self._is_ending = threading.Event()
        self._watch = threading.Thread(target=self._refuse_overdue_calls, name=f"{name}-requests", daemon=True)
        self._watch.start()

    def counts(self) -> PoolCounts:
        of_connection = Counter(call.peer_address for call in list(self._calls.values()))
        with self._lock:
            return PoolCounts(len(self._line) + len(self._receiving), self._running, dict(of_connection))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Queue a call of gRPC, or run any other function in a thread; return its future.

        A call that cannot be queued is cancelled.
        """
        if not is_handed_over(args):
            return super().submit(fn, *args, **kwargs)
        self.taken_over += 1
        call = GrpcCall(fn, args)
        try:
            self._take_over(call)
        except Exception:  # noqa: BLE001 (whatever it is, gRPC goes on serving)
            with suppress(Exception):
                args[1].call.cancel()
            self.finish(call)
        return cast("Future[Any]", call)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse waiting and held calls; `wait`: until running ones end."""
        self._is_ending.set()
        with self._lock:
            turned_away = self._line.clear()
            turned_away += [(call, Cause.STOPPING) for _, call in self._held]
            self._turnstile.stop_holding([call.peer_address for _, call in self._held])
            self._held.clear()
        self._turn_away(turned_away)
        super().shutdown(wait=wait, cancel_futures=cancel_futures)

    def _take_over(self, call: GrpcCall) -> None:
        """Receive a call's request, then queue the call. The caller holds the condition of the call's state."""
        self._calls[id(call)] = call
        call.caller = self._turnstile.find_held(call.method, call.peer_address, call.metadata)
        if call.caller:
            self._hold_call(call)
        elif call.takes_stream:
            self._queue_call(call)
        else:
            self._receive_request(call)

    def _hold_call(self, call: GrpcCall) -> None:
        """Refuse a call later, but so that the refusal arrives before its deadline."""
        seconds = self._turnstile.start_holding(call.peer_address)
        if not seconds:
            self._turn_away([(call, Cause.LIMIT)])
            return
        with self._lock:
            self._held.append((min(call.arrived + seconds, call.deadline - 2 * LOOK_SECONDS), call))

    def _receive_request(self, call: GrpcCall) -> None:
        self._receiving[id(call)] = call
        if len(self._receiving) > self._rules.limit:  # a request in transit arrives sooner
            addresses = {key: receiving.peer_address for key, receiving in list(self._receiving.items())}
            [(busiest, _)] = Counter(addresses.values()).most_common(1)
            oldest = self._receiving.pop(next(key for key, address in addresses.items() if address == busiest), None)
            if oldest is not None:
                self._turn_away([(oldest, Cause.FULL)])
        call.receive(self)

    def answer_at_once(self, call: GrpcCall, data: bytes | None) -> bytes | None:
        """Return the response, or None for a call that needs `take_request`."""
        call.has_arrived = self._receiving.pop(id(call), None) is not None
        if not call.has_arrived or data is None or call.at_once is None:
            return None
        now = monotonic()
        if call.deadline <= now or not call.is_awaited():
            return None
        call.waited_seconds = now - call.arrived
        response = call.at_once(data, call)
        if response is not None:
            self._observer.waited(self.name, call.waited_seconds)
        return response

    def take_request(self, call: GrpcCall, data: bytes | None) -> None:
        """Queue a call whose request arrived; refuse it if unsent, too large or late."""
        if not call.has_arrived:
            return
        if data is None:
            self._turn_away([(call, Cause.UNSENT if call.is_awaited() else Cause.GONE)])
        elif len(data) > self._rules.message_bytes:
            self._turn_away([(call, Cause.LARGE)])
        else:
            call.marketplace = read_marketplace(data)
            self._queue_call(call)

    def _queue_call(self, call: GrpcCall) -> None:
        with self._lock:
            is_late = self._line.is_late(call, self._line.count_ahead(call.marketplace))
            turned_away: TurnedAway = [(call, Cause.LATE)] if is_late else self._line.add(call)
        self._turn_away(turned_away)
        if is_late:
            return
        try:
            super().submit(self._work_on_next)
        except RuntimeError:  # the server stops, or the machine has no thread left
            with self._lock:
                turned_away = self._line.clear()
            self._turn_away(turned_away)

    def _work_on_next(self) -> None:
        with self._lock:
            next_call, turned_away = self._line.take()
            self._running += next_call is not None
        self._turn_away(turned_away)
        if not isinstance(next_call, GrpcCall):
            return
        began = monotonic()
        next_call.waited_seconds = began - next_call.arrived
        self._observer.waited(self.name, next_call.waited_seconds)
        _THREAD.call = next_call
        try:
            next_call.run()
        finally:
            _THREAD.call = None
            with self._lock:
                self._running -= 1
                if next_call.is_begun:
                    self._line.note_work(next_call, monotonic() - began)
            if not next_call.is_begun:
                self._observer.turned_away(self.name, next_call, Cause.GONE)
            self.finish(next_call)

    def _turn_away(self, turned_away: TurnedAway) -> None:
        for call, cause in turned_away:
            if not isinstance(call, GrpcCall):
                continue
            call.waited_seconds = monotonic() - call.arrived
            with suppress(Exception):  # no call may keep the next from its answer
                call.end(self._observer.status(self.name, cause))
                if cause is not Cause.LIMIT:
                    self._observer.waited(self.name, call.waited_seconds)
                self._observer.turned_away(self.name, call, cause)
            self.finish(call)

    def finish(self, call: GrpcCall) -> None:
        self._calls.pop(id(call), None)
        call.set_ended()

    def _refuse_overdue_calls(self) -> None:
        while not self._is_ending.wait(LOOK_SECONDS):
            now = monotonic()
            latest_arrival = now - self._rules.message_seconds
            with self._lock:
                due = [call for until, call in self._held if until <= now or not call.is_awaited()]
                if due:
                    due_ids = {id(call) for call in due}
                    self._held = deque((until, call) for until, call in self._held if id(call) not in due_ids)
                    self._turnstile.stop_holding([call.peer_address for call in due])
            unsent = [
                call
                for call in list(self._receiving.values())
                if call.arrived <= latest_arrival and self._receiving.pop(id(call), None) is not None
            ]
            self._turn_away([(call, Cause.LIMIT) for call in due])
            self._turn_away([(call, Cause.UNSENT) for call in unsent])
