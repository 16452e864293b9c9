"""A call as gRPC's server hands it over: how its request is received, and how it is answered, run or ended.

This is the one module that knows what gRPC's server is made of (`grpc._server`): the arguments with which it hands a
call over, how it receives a request, how it answers, and how it ends a call.
"""

import time
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Protocol, cast

import grpc
from grpc import _server as inside
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from service.engine.waiting_line import WaitingCall

AtOnce = Callable[[bytes, "GrpcCall"], bytes | None]
"""Gives the response to a request, if it needs no thread, and None else; never raises, and never waits for anything."""

_NO_FLAGS = 0
_SENDING = inside._SEND_STATUS_FROM_SERVER_TOKEN
_RECEIVING = inside._RECEIVE_MESSAGE_TOKEN


class Receiver(Protocol):
    """Takes requests as they arrive, in the one thread by which gRPC serves: it neither raises nor waits for anything."""

    def answer_at_once(self, call: "GrpcCall", data: bytes | None) -> bytes | None:
        """Return the response to a request where there is one already; it is sent, and `finish` is called."""

    def take_request(self, call: "GrpcCall", data: bytes | None) -> None:
        """Take a request that was not answered at once, None where the client sent none."""

    def finish(self, call: "GrpcCall") -> None:
        """Note that a call was answered at once."""


def is_handed_over(arguments: tuple[Any, ...]) -> bool:
    """Return whether these are the arguments with which gRPC hands a call to an executor."""
    return len(arguments) == 7 and hasattr(arguments[1], "call_details")


class GrpcCall(WaitingCall):
    """A call as gRPC hands it over; to gRPC it is the future of the call's end, of which it asks nothing else."""

    __slots__ = (
        "_behave",
        "_do",
        "_event",
        "_in_context",
        "_on_end",
        "_parse",
        "_request",
        "_state",
        "_write",
        "at_once",
        "caller",
        "has_arrived",
        "has_ended",
        "is_begun",
        "takes_stream",
        "waited_seconds",
    )

    def __init__(self, in_context: Any, arguments: tuple[Any, ...]) -> None:
        self._in_context = in_context
        self._do, self._event, self._state, self._behave, self._request, self._parse, self._write = arguments
        method = getattr(self._behave, "method", None)
        now = monotonic()
        super().__init__(
            "" if method is None else method.name, now, now + self._event.call_details.deadline - time.time()
        )
        self.takes_stream = method is not None and method.takes_stream
        """Whether its requests are a stream."""
        self.at_once: AtOnce | None = getattr(self._behave, "at_once", None)
        """What answers calls of its method that need no thread; None if each of them needs one."""
        self.caller = ""
        """Who calls, where that is known before the work."""
        self.has_arrived = False
        """Whether its request arrived in time."""
        self.is_begun = False
        """Whether its work has begun."""
        self.waited_seconds = 0.0
        """How long it waited until it was answered at once, a thread took it, or it was turned away."""
        self.has_ended = False
        """Whether it has ended, for gRPC's count of calls."""
        self._on_end: list[Callable[[Any], object]] = []

    @property
    def connection(self) -> str:
        """Return the other end of the connection that the call came by."""
        return str(self._event.call.peer().decode("ascii", "replace"))

    @property
    def metadata(self) -> Any:
        """Return what the caller sent before the request, as (key, value)."""
        return self._event.invocation_metadata

    @property
    def context(self) -> grpc.ServicerContext:
        """Return what gRPC gives a handler beside the request."""
        return cast(grpc.ServicerContext, inside._Context(self._event, self._state, self._parse))

    def is_awaited(self) -> bool:
        """Return whether its caller still waits for it."""
        return self._state.client is not inside._CANCELLED and not self._state.statused

    def receive(self, receiver: "Receiver") -> None:
        """Have the request received, for `receiver`. Called with the condition of the state."""
        state, call = self._state, self._event.call
        finish = inside._receive_message(state, call, self._parse)

        def arrived(message: Any) -> Any:
            data = inside._serialized_request(message)
            response = receiver.answer_at_once(self, data)
            if response is None:
                done = finish(message)
                receiver.take_request(self, data)
                return done
            with state.condition:
                state.due.remove(_RECEIVING)
                try:
                    self._send(response)
                except Exception:  # noqa: BLE001 (whatever it is, gRPC goes on serving)
                    call.cancel()
            receiver.finish(self)
            return None, ()

        call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), arrived)
        state.due.add(_RECEIVING)

    def _send(self, response: bytes) -> None:
        """Answer with the status OK and a response."""
        operations = (
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            cygrpc.SendMessageOperation(response, _NO_FLAGS),
            cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, b"", _NO_FLAGS),
        )
        self._event.call.start_server_batch(operations, inside._send_status_from_server(self._state, _SENDING))
        self._state.statused = True
        self._state.due.add(_SENDING)

    def run(self) -> None:
        """Do its work in this thread, and answer it."""
        request = self._request if self.takes_stream else self._received
        self._in_context(self._do, self._event, self._state, self._behave, request, self._parse, self._write)

    def end(self, status: grpc.Status) -> None:
        """Answer it with a status, without a thread of its own."""
        state = self._state
        with state.condition:
            if not inside._is_rpc_state_active(state):
                return
            state.code, state.trailing_metadata = status.code, status.trailing_metadata
            state.request = None
            inside._abort(state, self._event.call, cygrpc.StatusCode.unknown, status.details.encode())

    def add_done_callback(self, called: Callable[[Any], object]) -> None:
        """Have `called` called with the call once it has ended; once, and at once if it has."""
        self._on_end.append(called)
        if self.has_ended:
            self._note_end()

    def set_ended(self) -> None:
        """Note that it has ended."""
        self.has_ended = True
        self._note_end()

    def _note_end(self) -> None:
        try:
            called = self._on_end.pop()  # which gives it to one of several threads
        except IndexError:
            return
        called(self)

    def _received(self) -> Any:
        """Return the request, which has arrived; None if nobody awaits the answer any more, which gRPC understands."""
        state = self._state
        with state.condition:
            request, state.request = state.request, None
            return request if inside._is_rpc_state_active(state) else None


def connection_of(context: grpc.ServicerContext) -> Mapping[bytes, list[bytes]]:
    """Return the facts of a call's connection, such as its certificate, by name.

    As gRPC's `auth_context`, but without a copy at each call.
    """
    event = getattr(context, "_rpc_event", None)
    if event is None:  # no call of gRPC's own
        return {key.encode(): value for key, value in cast(Any, context.auth_context()).items()}
    return cygrpc.auth_context(event.call) or {}
