"""The threads of one class of calls, which gRPC hands its calls to: what waits is bounded, and nothing is begun in vain.

gRPC's server takes any executor of threads for a method, and would let calls without number wait in its queue, each of
which it begins though nobody awaits the answer, and for whose request a thread waits without a limit. `CallPool` stands
in that place. A call gets a thread only once its request has arrived; which one is next, and which ones are turned away,
is `WaitingLine`'s to say. Whoever is turned away is answered without a thread.

This is the one module that knows what gRPC's server is made of (`grpc._server`): the arguments with which it hands a
call over, how it receives a request, and how it ends a call. `submit` never raises, which would end the one thread by which
gRPC serves.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol, cast

import grpc
from grpc import _server as inside
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from service.api.turnstile import HOLD_SECONDS, Turnstile
from service.api.waiting_line import Cause, LineRules, TurnedAway, WaitingCall, WaitingLine

LOOK_SECONDS = 0.2
"""How often it is looked for requests that have not arrived in time, and for calls that have been held for long enough."""


@dataclass(slots=True, eq=False)
class GrpcCall(WaitingCall):
    """A call as gRPC hands it over."""

    connection: str = ""
    """The other end of the connection that it came by."""
    run: Callable[[], object] = lambda: None
    """Does its work, and answers it."""
    end: Callable[[grpc.Status], None] = lambda _: None
    """Answers it with a status, without its work."""
    caller: str = ""
    """Who calls, where that is known before the work."""
    is_begun: bool = False
    """Whether its work has begun."""
    waited_seconds: float = 0.0
    """How long it waited until a thread took it or it was turned away."""
    future: "Future[None]" = field(default_factory=Future)
    """Done once it has ended, which gRPC counts."""


class Observer(Protocol):
    """What a pool reports its calls to, and asks how to refuse one."""

    def waited(self, pool: str, seconds: float) -> None:
        """Record how long a call of a pool waited for a thread."""

    def turned_away(self, pool: str, call: GrpcCall, cause: Cause) -> None:
        """Record a call of a pool that is refused before its work begins."""

    def status(self, pool: str, cause: Cause) -> grpc.Status:
        """Return the gRPC status of a call that a pool refuses for this cause."""


_TAKEN = threading.local()


def taken_call() -> GrpcCall | None:
    """Return the call that this thread of a `CallPool` works for; its work counts as begun.

    None in any other thread.
    """
    call: GrpcCall | None = getattr(_TAKEN, "call", None)
    if call is not None:
        call.is_begun = True
    return call


class CallPool(ThreadPoolExecutor):
    """Threads for the calls of one class, as gRPC takes them (`experimental_thread_pool`)."""

    def __init__(
        self, name: str, threads: int, rules: LineRules, observer: Observer, turnstile: Turnstile | None = None
    ) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self.name = name
        """The name of the class."""
        self.connections: Counter[str] = Counter()
        """How many calls each connection has here, waiting and running. Read it with `counts`."""
        self._rules = rules
        self._observer = observer
        self._turnstile = turnstile or Turnstile()
        self._held: deque[tuple[float, GrpcCall]] = deque()  # with the time of their refusals
        self._lock = threading.Lock()
        self._line = WaitingLine(rules, threads)
        self._receiving: dict[int, GrpcCall] = {}  # oldest first
        self._running = 0
        self._is_ending = threading.Event()
        self._watch = threading.Thread(target=self._look, name=f"{name}-requests", daemon=True)
        self._watch.start()

    def counts(self) -> tuple[int, int, dict[str, int]]:
        """Return (calls that wait, calls that run, calls of each connection by its name)."""
        with self._lock:
            return len(self._line) + len(self._receiving), self._running, dict(self.connections)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Queue a call of gRPC's, or run any other function in a thread; return its future.

        Never raises for a call: one that cannot be queued is cancelled.
        """
        if len(args) != 7 or not hasattr(args[1], "call_details"):
            return super().submit(fn, *args, **kwargs)
        call = GrpcCall("", monotonic(), 0.0)
        try:
            self._take_over(call, fn, *args)
        except Exception:  # noqa: BLE001 (whatever it is, gRPC goes on serving)
            with suppress(Exception):
                args[1].call.cancel()
            self._finish(call)
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._is_ending.set()
        with self._lock:
            turned_away = self._line.clear()
            turned_away += [(call, Cause.STOPPING) for _, call in self._held]
            self._held.clear()
        self._turn_away(turned_away)
        super().shutdown(wait=wait, cancel_futures=cancel_futures)

    def _take_over(
        self,
        call: GrpcCall,
        fn: Any,
        do: Any,
        event: Any,
        state: Any,
        behave: Any,
        request: Any,
        parse: Any,
        write: Any,
    ) -> None:
        """Receive a call's request, and have the call wait for a thread then. Called with the condition of `state`."""
        method = getattr(behave, "method", None)
        call.method = "" if method is None else method.name
        call.deadline = call.arrived + event.call_details.deadline - time.time()
        call.connection = event.call.peer().decode("ascii", "replace")
        call.is_awaited = lambda: state.client is not inside._CANCELLED and not state.statused
        call.end = lambda status: _end(state, event.call, status)
        with self._lock:
            self.connections[call.connection] += 1
            is_late = self._line.is_late(call.method, call.deadline, len(self._line) + len(self._receiving))
        call.caller = self._turnstile.holds(call.method, call.connection, event.invocation_metadata)
        if call.caller:
            self._hold(call)
        elif is_late:
            self._turn_away([(call, Cause.LATE)])
        elif method is not None and method.takes_stream:
            call.run = lambda: fn(do, event, state, behave, request, parse, write)
            self._queue(call)
        else:
            call.run = lambda: fn(do, event, state, behave, lambda: _received(state), parse, write)
            self._receive(call, event, state, parse)

    def _hold(self, call: GrpcCall) -> None:
        """Refuse a call later, or so long before its deadline that the refusal arrives."""
        until = min(call.arrived + HOLD_SECONDS, call.deadline - 2 * LOOK_SECONDS)
        with self._lock:
            self._held.append((until, call))
            too_many = [self._held.popleft()[1]] if len(self._held) > self._rules.held_limit else []
        self._turn_away([(one, Cause.LIMIT) for one in too_many])

    def _receive(self, call: GrpcCall, event: Any, state: Any, parse: Any) -> None:
        finish = inside._receive_message(state, event.call, parse)

        def arrived(message: Any) -> Any:
            done = finish(message)
            with suppress(Exception), self._lock:
                is_expected = self._receiving.pop(id(call), None) is not None
            if is_expected:
                self._take_request(call, state.request)
            return done

        with self._lock:
            self._receiving[id(call)] = call
            is_full = len(self._receiving) > self._rules.limit
            oldest = self._receiving.pop(next(iter(self._receiving))) if is_full else None
        if oldest is not None:  # a request that is on its way is there sooner
            self._turn_away([(oldest, Cause.FULL)])
        event.call.start_server_batch((cygrpc.ReceiveMessageOperation(inside._EMPTY_FLAGS),), arrived)
        state.due.add(inside._RECEIVE_MESSAGE_TOKEN)

    def _take_request(self, call: GrpcCall, request: Any) -> None:
        if request is None:
            self._turn_away([(call, Cause.UNSENT if call.is_awaited() else Cause.GONE)])
        elif isinstance(request, bytes) and len(request) > self._rules.message_bytes:
            self._turn_away([(call, Cause.LARGE)])
        else:
            self._queue(call)

    def _queue(self, call: GrpcCall) -> None:
        with self._lock:
            turned_away = self._line.add(call)
        self._turn_away(turned_away)
        try:
            super().submit(self._work)
        except RuntimeError:  # the server stops, or the machine has no thread left
            with self._lock:
                turned_away = self._line.clear()
            self._turn_away(turned_away)

    def _work(self) -> None:
        """Do the work of the call that is next. As often as this is asked for, so many calls have waited."""
        with self._lock:
            found, turned_away = self._line.take()
            self._running += found is not None
        self._turn_away(turned_away)
        if not isinstance(found, GrpcCall):
            return
        began = monotonic()
        found.waited_seconds = began - found.arrived
        self._observer.waited(self.name, found.waited_seconds)
        _TAKEN.call = found
        try:
            found.run()
        finally:
            _TAKEN.call = None
            with self._lock:
                self._running -= 1
                if found.is_begun:
                    self._line.note_work(found.method, monotonic() - began)
            if not found.is_begun:  # its caller went away at this moment
                self._observer.turned_away(self.name, found, Cause.GONE)
            self._finish(found)

    def _turn_away(self, turned_away: TurnedAway) -> None:
        for call, cause in turned_away:
            if not isinstance(call, GrpcCall):
                continue
            call.waited_seconds = monotonic() - call.arrived
            with suppress(Exception):  # no call may keep the next from its answer
                call.end(self._observer.status(self.name, cause))
                if cause is not Cause.LIMIT:  # which was held on purpose
                    self._observer.waited(self.name, call.waited_seconds)
                self._observer.turned_away(self.name, call, cause)
            self._finish(call)

    def _finish(self, call: GrpcCall) -> None:
        with self._lock:
            self.connections[call.connection] -= 1
            if self.connections[call.connection] <= 0:
                del self.connections[call.connection]
        with suppress(Exception):
            call.future.set_result(None)

    def _look(self) -> None:
        """End the calls whose requests do not arrive."""
        while not self._is_ending.wait(LOOK_SECONDS):
            late = monotonic() - self._rules.message_seconds
            now = monotonic()
            with self._lock:
                over = [call for until, call in self._held if until <= now or not call.is_awaited()]
                if over:
                    gone = {id(call) for call in over}
                    self._held = deque(one for one in self._held if id(one[1]) not in gone)
                unsent = [(number, call) for number, call in self._receiving.items() if call.arrived <= late]
                for number, _ in unsent:
                    del self._receiving[number]
            self._turn_away([(call, Cause.LIMIT) for call in over])
            self._turn_away([(call, Cause.UNSENT) for _, call in unsent])


def connection_of(context: grpc.ServicerContext) -> Mapping[bytes, list[bytes]]:
    """Return the facts of a call's connection, such as its certificate, by name.

    As gRPC's `auth_context`, but without a copy at each call.
    """
    event = getattr(context, "_rpc_event", None)
    if event is None:  # no call of gRPC's own
        return {key.encode(): value for key, value in cast(Any, context.auth_context()).items()}
    return cygrpc.auth_context(event.call) or {}


def _received(state: Any) -> Any:
    """Return the request of a call, which has arrived; None if nobody awaits the answer any more, which gRPC understands."""
    with state.condition:
        request, state.request = state.request, None
        return request if inside._is_rpc_state_active(state) else None


def _end(state: Any, call: Any, status: grpc.Status) -> None:
    """Answer a call with a status, without a thread of its own."""
    with state.condition:
        if not inside._is_rpc_state_active(state):
            return
        state.code, state.trailing_metadata = status.code, status.trailing_metadata
        state.request = None
        inside._abort(state, call, cygrpc.StatusCode.unknown, status.details.encode())
