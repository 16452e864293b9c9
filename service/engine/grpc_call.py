"""A call as gRPC's server hands it over: receive its request, answer it, run it or end it.

No other module uses the insides of gRPC's server (`grpc._server`).
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
"""Returns the response if it can be had at once, else None; never raises or waits."""

_NO_FLAGS = 0
_SENDING = inside._SEND_STATUS_FROM_SERVER_TOKEN
_RECEIVING = inside._RECEIVE_MESSAGE_TOKEN


class Receiver(Protocol):
    """Takes requests as they arrive, in gRPC's one serving thread; never raises or waits."""

    def answer_at_once(self, call: "GrpcCall", data: bytes | None) -> bytes | None:
        """Return the response if it is ready; it is sent, and `finish` is called."""

    def take_request(self, call: "GrpcCall", data: bytes | None) -> None:
        """Take a request that needs a thread; None: the client sent nothing."""

    def finish(self, call: "GrpcCall") -> None:
        """Note a call answered at once."""


def is_handed_over(arguments: tuple[Any, ...]) -> bool:
    """Return whether arguments of `submit` are of a gRPC call."""
    return len(arguments) == 7 and hasattr(arguments[1], "call_details")


class GrpcCall(WaitingCall):
    """A call as gRPC hands it over. To gRPC it is a future, used only for the call's end."""

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
        self.at_once: AtOnce | None = getattr(self._behave, "at_once", None)
        """None if all calls need a thread."""
        self.caller = ""
        self.has_arrived = False
        self.is_begun = False
        self.waited_seconds = 0.0
        """Seconds until it was answered at once, got a thread or was turned away."""
        self.has_ended = False
        """True once gRPC's count of calls excludes it."""
        self._on_end: list[Callable[[Any], object]] = []

    @property
    def peer_address(self) -> str:
        """Return the client's address: `ipv4:10.0.0.7:51234`."""
        return str(self._event.call.peer().decode("ascii", "replace"))

    @property
    def metadata(self) -> Any:
        """Return (key, value) pairs."""
        return self._event.invocation_metadata

    @property
    def context(self) -> grpc.ServicerContext:
        return cast(grpc.ServicerContext, inside._Context(self._event, self._state, self._parse))

    def is_awaited(self) -> bool:
        return self._state.client is not inside._CANCELLED and not self._state.statused

    def receive(self, receiver: "Receiver") -> None:
        """Receive the request; the caller holds the condition of the state."""
        state, call = self._state, self._event.call
        finish = inside._receive_message(state, call, self._parse)

        def answer_or_pass_on(message: Any) -> Any:
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

        call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), answer_or_pass_on)
        state.due.add(_RECEIVING)

    def _send(self, response: bytes) -> None:
        operations = (
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            cygrpc.SendMessageOperation(response, _NO_FLAGS),
            cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, b"", _NO_FLAGS),
        )
        self._event.call.start_server_batch(operations, inside._send_status_from_server(self._state, _SENDING))
        self._state.statused = True
        self._state.due.add(_SENDING)

    def run(self) -> None:
        """Run gRPC's handler of the call in this thread."""
        request = self._request if self.takes_stream else self._take_received_request
        self._in_context(self._do, self._event, self._state, self._behave, request, self._parse, self._write)

    def end(self, status: grpc.Status) -> None:
        state = self._state
        with state.condition:
            if not inside._is_rpc_state_active(state):
                return
            state.code, state.trailing_metadata = status.code, status.trailing_metadata
            state.request = None
            inside._abort(state, self._event.call, cygrpc.StatusCode.unknown, status.details.encode())

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` once, at the call's end; at once if it is over."""
        self._on_end.append(callback)
        if self.has_ended:
            self._call_back_once()

    def set_ended(self) -> None:
        self.has_ended = True
        self._call_back_once()

    def _call_back_once(self) -> None:
        try:
            callback = self._on_end.pop()  # gRPC gives it to one of several threads
        except IndexError:
            return
        callback(self)

    def _take_received_request(self) -> Any:
        """Return the request; None, which gRPC understands, if the client is gone."""
        state = self._state
        with state.condition:
            request, state.request = state.request, None
            return request if inside._is_rpc_state_active(state) else None


def connection_of(context: grpc.ServicerContext) -> Mapping[bytes, list[bytes]]:
    """Return the properties of a call's connection, such as its certificate, by name.

    They are gRPC's `auth_context`, without its copy at each call.
    """
    event = getattr(context, "_rpc_event", None)
    if event is None:
        return {key.encode(): value for key, value in cast(Any, context.auth_context()).items()}
    return cygrpc.auth_context(event.call) or {}
