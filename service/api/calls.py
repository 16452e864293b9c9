"""Handle every RPC in one place: parse, admit, call, map errors, answer, log one line, count.

A servicer turns requests into responses, or raises domain errors. Only this module uses gRPC's contexts and aborts.
Handlers have no deserializer, since grpcio sends the texts of its exceptions to the caller.
"""

import threading
from collections import Counter as Tally
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from math import inf
from time import monotonic
from types import MappingProxyType, TracebackType
from typing import Any, cast

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from scoring.base.errors import PermissionDenied, TooStale, Unauthenticated
from scoring.entries.field_types import is_id
from service.access.rights import METHODS, require_rows
from service.api.answers_at_once import AnswersAtOnce, AtOnce
from service.api.approvals import Approvals
from service.api.gate import CallGate
from service.api.stream_threads import Streams
from service.api.telemetry.call_records import CallRecords, Method, ServedCall
from service.api.telemetry.tracing import Tracing
from service.call_context import LATE_SECONDS, Call, begin_answering, end_answering
from service.contract.wire_size import find_batch_field_number, parse, require_few_fields
from service.engine.call_pool import begin_taken_call
from service.engine.fairness import find_marketplace
from service.engine.handover import run_in_pool
from service.engine.pools import Pool

DO_NOT_RETRY = (("grpc-retry-pushback-ms", "-1"),)
"""Stops automatic retries: a caller who asks for a fresh answer would otherwise see only the deadline."""

NO_DEADLINE_SECONDS = 1e8  # for a call without a deadline grpcio returns far more

RIVAL_SECONDS = 60.0

_OK = Status()
_NO_DETAILS: Mapping[str, Any] = MappingProxyType({})
_EMPTY_STACK = ExitStack()

Behaviour = Callable[[bytes, grpc.ServicerContext], bytes]


class Calls:
    def __init__(
        self, records: CallRecords, gate: CallGate, approvals: Approvals, tracing: Tracing | None = None
    ) -> None:
        self._gate = gate
        self._tracing = tracing
        self._approvals = approvals
        self.records = records
        self._running: Tally[str] = Tally()
        self._last_calls: dict[str, float] = {}
        self._ended = threading.Condition()

    def handlers(
        self,
        service: ServiceDescriptor,
        servicer: object,
        pools: Mapping[Pool, ThreadPoolExecutor],
        streams: Streams,
    ) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
        """Return gRPC's handlers of `service` by method name, around the servicer's methods.

        Streaming methods use `streams`. Raises TypeError if a method has no implementation or no row in `METHODS`.
        """
        require_rows([_qualify_method_name(descriptor) for descriptor in service.methods])
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
        for descriptor in service.methods:
            implementation = getattr(servicer, descriptor.name, None)
            if implementation is None:
                raise TypeError(f"{type(servicer).__name__} does not implement {descriptor.full_name}")
            method = _describe_method(descriptor)
            if method.gives_stream:
                handlers[descriptor.name] = self._make_stream_handler(descriptor, method, implementation, streams)
                continue
            behaviour = self._add_tracing(descriptor, self._make_behaviour(method, implementation))
            find = servicer.find_answer_at_once(descriptor.name) if isinstance(servicer, AnswersAtOnce) else None
            is_traced = self._tracing is not None
            at_once = AtOnce(method, find, self._gate, self.records, is_traced) if find is not None else None
            run_in_pool(behaviour, pools[METHODS[method.name].pool], method, at_once)
            handlers[descriptor.name] = _make_grpc_handler(descriptor, behaviour)
        return handlers

    def wait_until_idle(self, seconds: float) -> dict[str, int]:
        """Wait at most `seconds` until no call runs; return the number still running by method."""
        with self._ended:
            self._ended.wait_for(lambda: not self._running, seconds)
            return dict(self._running)

    def _make_behaviour(self, method: Method, implementation: Callable[[Any], Message | bytes]) -> Behaviour:
        def behave(data: bytes, context: grpc.ServicerContext) -> bytes:
            with _CallScope(self, method, context, None) as served:
                response = implementation(self._take_request(served, data, context))
                if isinstance(response, bytes):
                    return response
                served.response = response
                return response.SerializeToString()
            return b""  # not reached: whatever else ends the body aborts

        return behave

    def _make_stream_handler(
        self,
        descriptor: MethodDescriptor,
        method: Method,
        implementation: Callable[[Any], Generator[Message, None, None]],
        streams: Streams,
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        def behave(incoming: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            with ExitStack() as held_share, _CallScope(self, method, context, streams) as served:
                recheck_grants = partial(self._recheck_grants, served, context)
                messages = streams.read_messages(incoming, recheck_grants) if method.takes_stream else [incoming]
                requests = self._take_requests(
                    served, messages, context, lambda: held_share.enter_context(streams.take_share())
                )
                with closing(implementation(requests if method.takes_stream else next(requests))) as responses:
                    for response in responses:
                        if method.takes_stream:
                            self._audit_end(served, code_pb2.OK, response)
                        else:
                            self._authorise(served, context)
                        self.records.count_message(served, "sent")
                        yield response.SerializeToString()

        behaviour = self._add_tracing(descriptor, behave)
        run_in_pool(behaviour, streams.pool, method)
        return _make_grpc_handler(descriptor, behaviour)

    def _add_tracing(self, method: MethodDescriptor, behaviour: Any) -> Any:
        if self._tracing is None:
            return behaviour
        path = f"/{method.containing_service.full_name}/{method.name}"
        return self._tracing.traced(path, _make_grpc_handler(method, behaviour))

    def _identify_and_admit(
        self, served: ServedCall, context: grpc.ServicerContext, streams: Streams | None, stack: ExitStack
    ) -> None:
        method = served.method
        served.caller = self._gate.identify(context)
        self._gate.admit(served.caller, method.name, method.call_class, context)
        self._gate.require_anything(served.caller, method.name)
        if streams is not None:
            limits = self._gate.stream_limits(served.caller)
            stack.enter_context(
                streams.occupy_place(limits if self._gate.rules is not None else {_name_peer(context): 0})
            )
            stack.enter_context(self.records.open_streams.labels(method.name).track_inprogress())

    def _take_requests(
        self,
        served: ServedCall,
        messages: Iterable[bytes],
        context: grpc.ServicerContext,
        take_share: Callable[[], object] | None,
    ) -> Iterator[Message]:
        parent = ""
        for data in messages:
            self.records.count_message(served, "received")
            request: Any = self._take_request(served, data, context, parent, take_share)
            take_share = None
            if served.method.takes_stream:
                parent = parent or request.parent
            yield request

    def _take_request(
        self,
        served: ServedCall,
        data: bytes,
        context: grpc.ServicerContext,
        parent: str = "",
        take_share: Callable[[], object] | None = None,
    ) -> Message:
        method = served.method
        require_few_fields(data, method.nested)
        request: Any = parse(method.request_type, data)
        if method.takes_stream:
            request.parent = request.parent or parent
        served.request = request
        self._authorise(served, context)
        self._note_rival_calls(served.call, request)
        if take_share is not None:
            take_share()
        if served.caller is not None:
            if method.has_entries and (entries := request.entries):
                self._gate.admit_entries(served.caller, method.name, method.call_class, len(entries), context)
            served.call.approval = self._approvals.require(served.caller.name, method.name, request)
            served.audited = self._gate.audit_request(served.caller, method.name, request, served.call.approval)
        return cast(Message, request)

    def _note_rival_calls(self, call: Call, request: Any) -> None:
        """Note whether another marketplace called lately: only then do marketplaces share the computing threads."""
        names = (getattr(request, field, "") for field in ("parent", "seller", "name"))
        call.marketplace = find_marketplace(next(filter(None, names), ""))
        if not is_id(call.marketplace):
            return
        with self._ended:
            now = monotonic()
            self._last_calls.pop(call.marketplace, None)
            call.has_rivals = any(now - time < RIVAL_SECONDS for time in self._last_calls.values())
            self._last_calls[call.marketplace] = now
            if len(self._last_calls) > 2:
                del self._last_calls[next(iter(self._last_calls))]

    def _authorise(self, served: ServedCall, context: grpc.ServicerContext) -> None:
        """Check that the caller's grants cover the request, and note the sellers that it may see.

        Unauthenticated if those changed during a stream, whose caller is identified again.
        """
        rules = self._gate.rules
        if served.method.gives_stream:
            served.caller = self._gate.identify(context)
        if served.caller is not None and served.request is not None:
            visible = self._gate.require(served.caller, served.method.name, served.request)
            call = served.call
            if served.is_granted and visible != call.visible_sellers:
                raise Unauthenticated("what the caller may see has changed since the stream began; open it again")
            served.is_granted, call.visible_sellers, call.caller = True, visible, served.caller.name
            call.own_names, call.shared_names = served.caller.own_names, served.caller.shared_names
        served.rules = rules

    def _recheck_grants(self, served: ServedCall, context: grpc.ServicerContext) -> None:
        served.caller = self._gate.identify(context)
        if self._gate.rules is not served.rules:
            self._gate.require_anything(served.caller, served.method.name)
            self._authorise(served, context)

    def _audit_end(self, served: ServedCall, number: int, response: Message | None) -> None:
        """Write a request's outcome to the audit file, if it has a line. Never raises: the work is done."""
        audited, served.audited = served.audited, None
        if audited is None:
            return
        error = getattr(response, "error", None)
        code = error.code if error is not None and response.HasField("error") else number  # type: ignore[union-attr]
        try:
            self._gate.audit_end(audited, code_pb2.Code.Name(code_pb2.Code.ValueType(code)), response)
        except Exception as trouble:  # noqa: BLE001 (the answer must go out)
            self.records.report("audit file does not take what came of a call", type(trouble).__name__)

    def _count_running(self, method: str, change: int) -> None:
        with self._ended:
            self._running[method] += change
            if self._running[method] == 0:
                del self._running[method]
                self._ended.notify_all()


class _CallScope:
    """The work before and after every call, as a context manager.

    It makes the call current, sets its deadline, counts and admits it; then it turns an exception into a status, logs
    one line, and counts.
    """

    __slots__ = ("_calls", "_context", "_entered", "_served", "_streams", "_token")

    def __init__(self, calls: Calls, method: Method, context: grpc.ServicerContext, streams: Streams | None) -> None:
        self._calls = calls
        self._context = context
        self._streams = streams
        self._entered = _EMPTY_STACK if streams is None else ExitStack()
        self._served = ServedCall(method, _make_call(context))
        self._token: Any = None

    def __enter__(self) -> ServedCall:
        served = self._served
        if (taken := begin_taken_call()) is not None:
            served.waited_seconds = taken.waited_seconds
        self._calls._count_running(served.method.name, 1)
        self._token = begin_answering(served.call)
        try:
            self._calls._identify_and_admit(served, self._context, self._streams, self._entered)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return served

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """End the call, also when gRPC closes a stream's generator because the client is gone."""
        calls, served, context = self._calls, self._served, self._context
        if self._streams is not None:
            self._entered.close()
        end_answering(self._token)
        status, details, is_awaited = _OK, _NO_DETAILS, True
        if isinstance(error, Exception):
            status, details = self._describe_failure(error)
            self._record_refusal(error)
            error.__traceback__ = None  # its frames hold the call
        if served.method.gives_stream:
            is_awaited = context.is_active()
            if not is_awaited and status.code != code_pb2.INTERNAL:
                in_time = served.call.seconds_left() > LATE_SECONDS
                status = Status(code=code_pb2.CANCELLED if in_time else code_pb2.DEADLINE_EXCEEDED)
            details = {**served.call.counts, **details}
        calls._audit_end(served, status.code, served.response)
        calls.records.end(served, status.code, details)
        calls._count_running(served.method.name, -1)
        is_failed = isinstance(error, Exception)
        if is_failed and is_awaited and status.code != code_pb2.OK:
            ended = cast(Any, rpc_status.to_status(status))
            trailers = DO_NOT_RETRY if isinstance(error, TooStale) else ()
            error = None  # its frames hold the call, and often the error itself
            context.abort_with_status(ended._replace(trailing_metadata=(*ended.trailing_metadata, *trailers)))
        return is_failed

    def _describe_failure(self, error: Exception) -> tuple[Status, Mapping[str, Any]]:
        is_client_gone = self._served.method.takes_stream and isinstance(error, grpc.RpcError)
        if is_client_gone:
            return _OK, _NO_DETAILS
        return self._calls.records.failure(error, self._served.request)

    def _record_refusal(self, error: Exception) -> None:
        if isinstance(error, Unauthenticated | PermissionDenied):
            method = self._served.method
            self._calls._gate.record_refusal(self._served.caller, method.name, method.call_class, self._context)


def _make_grpc_handler(method: MethodDescriptor, behaviour: Any) -> "grpc.RpcMethodHandler[bytes, bytes]":
    if method.client_streaming:  # each of these also streams its answers
        return grpc.stream_stream_rpc_method_handler(behaviour, None, None)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(behaviour, None, None)
    return grpc.unary_unary_rpc_method_handler(behaviour, None, None)


def _qualify_method_name(method: MethodDescriptor) -> str:
    return f"{method.containing_service.name}/{method.name}"


def _describe_method(method: MethodDescriptor) -> Method:
    name = _qualify_method_name(method)
    return Method(
        name=name,
        request_type=GetMessageClass(method.input_type),
        takes_stream=method.client_streaming,
        gives_stream=method.server_streaming,
        call_class=class_of(name),
        nested=find_batch_field_number(method.input_type),
        has_entries="entries" in method.input_type.fields_by_name,
    )


def class_of(name: str) -> str:
    """Return a method's class among the limits of callers. Reads of review count as slow."""
    pool = METHODS[name].pool
    return Pool.SLOW.value if pool in {Pool.REVIEW, Pool.BATCH} else pool.value


def _name_peer(context: grpc.ServicerContext) -> str:
    if names := context.peer_identities():
        return b" ".join(names).decode("utf-8", "replace")
    return str(context.peer()).rpartition(":")[0]


def _make_call(context: grpc.ServicerContext) -> Call:
    def seconds_left() -> float:
        seconds = context.time_remaining()
        return inf if seconds > NO_DEADLINE_SECONDS else seconds

    return Call(seconds_left, context.is_active, context.add_callback)
