"""What happens around every RPC, in one place: parse, call, map errors, answer, log one line, count.

A servicer is a pure function from request to response, or for a stream from requests to an iterator of responses, that
raises domain errors. Only this module knows gRPC's contexts, and only it aborts: after `context.set_code` a handler
would go on. Handlers are registered without a deserializer, because grpcio answers bytes it cannot parse with UNKNOWN
and sends exception texts to the caller.
"""

import threading
import traceback
import uuid
from collections import Counter as Tally
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from math import inf
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from scoring.errors import InvalidInput, SellertrustError, invalid
from service.api.logs import Log, Pseudonyms, redact
from service.api.stream_threads import Streams
from service.call_context import LATE_SECONDS, Call, answer_call
from service.contract.statuses import code_of, internal_status, status_of

LATENCY_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
STREAM_SECONDS = (0.1, 1, 10, 60, 600, 3_600)
NO_DEADLINE_SECONDS = 1e8  # what grpcio calls left of a call without a deadline is far more

Behaviour = Callable[[bytes, grpc.ServicerContext], bytes]
StreamBehaviour = Callable[[Any, grpc.ServicerContext], Iterator[bytes]]


def parse(kind: type[Message], data: bytes) -> Message:
    """The request in `data`; fields of a newer contract are kept. InvalidInput about `request` if it is none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise invalid("request", f"is not a {name}: garbled, cut short, nested too deep, or text not UTF-8") from None


class Calls:
    """The mechanism around each RPC; `registry` gets its counters, `log` its lines. Of calls it knows how many run."""

    def __init__(
        self, log: Log, pseudonyms: Pseudonyms, registry: CollectorRegistry, model_digest: Callable[[], str]
    ) -> None:
        self._log = log
        self._pseudonyms = pseudonyms
        self._model_digest = model_digest
        self._running: Tally[str] = Tally()
        self._ended = threading.Condition()
        labels = ("method", "code")
        self._count = Counter("sellertrust_requests", "Requests answered.", labels, registry=registry)
        self._seconds = Histogram(
            "sellertrust_request_seconds",
            "Time from a thread taking a request to its answer.",
            labels,
            registry=registry,
            buckets=LATENCY_SECONDS,
        )
        self._stream_seconds = Histogram(
            "sellertrust_stream_seconds",
            "Time from a thread taking a stream to its end.",
            labels,
            registry=registry,
            buckets=STREAM_SECONDS,
        )
        ways = ("method", "direction")
        self._messages = Counter("sellertrust_stream_messages", "Messages of streams.", ways, registry=registry)
        self._open = Gauge("sellertrust_open_streams", "Streams that are open.", ("method",), registry=registry)

    def handlers(
        self,
        service: ServiceDescriptor,
        servicer: object,
        pools: Mapping[str, ThreadPoolExecutor] | None = None,
        streams: Streams | None = None,
    ) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
        """A handler for every method of `service`, whose implementation is the servicer's method of the same name.

        `pools` has the threads of each `Service/Method`; streaming methods get those of `streams`. TypeError if a method
        has no implementation, if there are no threads for it, or if only its requests are a stream.
        """
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
        for method in service.methods:
            implementation = getattr(servicer, method.name, None)
            if implementation is None:
                raise TypeError(f"{type(servicer).__name__} does not implement {method.full_name}")
            if method.server_streaming and streams is not None:
                behave = self._stream_behaviour(method, implementation, streams)
                behave.experimental_thread_pool = streams.pool  # type: ignore[attr-defined]
                make = (
                    grpc.stream_stream_rpc_method_handler
                    if method.client_streaming
                    else grpc.unary_stream_rpc_method_handler
                )
                handlers[method.name] = make(behave, None, None)
                continue
            if method.client_streaming or method.server_streaming:
                raise TypeError(f"{method.full_name} streams, for which there are no threads or no mechanism")
            behaviour = self._behaviour(method, implementation)
            if pools is not None:
                if (name := _name_of(method)) not in pools:
                    raise TypeError(f"{name} has no threads")
                behaviour.experimental_thread_pool = pools[name]  # type: ignore[attr-defined]
            handlers[method.name] = grpc.unary_unary_rpc_method_handler(behaviour, None, None)
        return handlers

    def wait_until_idle(self, seconds: float) -> dict[str, int]:
        """Waits until no call runs, for at most `seconds`; how many of each method run still."""
        with self._ended:
            self._ended.wait_for(lambda: not self._running, seconds)
            return dict(self._running)

    @contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        """Counts a call among those that run."""
        with self._ended:
            self._running[method] += 1
        try:
            yield
        finally:
            with self._ended:
                self._running -= Tally({method: 1})
                self._ended.notify_all()

    def _behaviour(self, method: MethodDescriptor, implementation: Callable[[Any], Message]) -> Behaviour:
        kind = GetMessageClass(method.input_type)
        name = _name_of(method)

        def behave(data: bytes, context: grpc.ServicerContext) -> bytes:
            started = perf_counter()
            request = response = None
            answer, status = b"", Status()
            about: dict[str, Any] = {}
            answer_call(_call_of(context))
            try:
                with self._counted(name):
                    request = parse(kind, data)
                    response = implementation(request)
                    answer = response.SerializeToString()
            except Exception as error:  # noqa: BLE001 (the one place that answers for whatever is unforeseen)
                status, about = self._failed(error, request)
            self._observe(self._seconds, name, status.code, started, request, response, about)
            if status.code != code_pb2.OK:
                context.abort_with_status(rpc_status.to_status(status))
            return answer

        return behave

    def _stream_behaviour(
        self,
        method: MethodDescriptor,
        implementation: Callable[[Any], Generator[Message, None, None]],
        streams: Streams,
    ) -> StreamBehaviour:
        kind = GetMessageClass(method.input_type)
        name = _name_of(method)

        def behave(incoming: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            """`incoming` is the bytes of the request, or an iterator of those of all requests."""
            started = perf_counter()
            latest: list[Message] = []  # the request that is being answered
            call = _call_of(context)
            status, about = Status(), dict[str, Any]()
            answer_call(call)

            def parsed(messages: Iterable[bytes]) -> Iterator[Message]:
                for data in messages:
                    self._count_message(call, name, "received")
                    latest[:] = [parse(kind, data)]
                    yield latest[0]

            try:
                place = streams.place(_client_of(context))
                with place, self._counted(name), self._open.labels(name).track_inprogress():
                    requests = parsed(streams.messages(incoming) if method.client_streaming else [incoming])
                    with closing(implementation(requests if method.client_streaming else next(requests))) as responses:
                        for response in responses:
                            self._count_message(call, name, "sent")
                            yield response.SerializeToString()
            except grpc.RpcError:  # the client is gone: how gRPC's iterator of requests says it
                pass
            except Exception as error:  # noqa: BLE001 (the one place that answers for whatever is unforeseen)
                status, about = self._failed(error, next(iter(latest), None))
            finally:  # also when gRPC closes this generator, since the client is gone
                is_active = context.is_active()
                if not is_active and status.code != code_pb2.INTERNAL:  # which the log is to tell all the same
                    in_time = call.seconds_left() > LATE_SECONDS
                    status = Status(code=code_pb2.CANCELLED if in_time else code_pb2.DEADLINE_EXCEEDED)
                request = None if method.client_streaming else next(iter(latest), None)
                self._observe(self._stream_seconds, name, status.code, started, request, None, {**call.counts, **about})
            if is_active and status.code != code_pb2.OK:
                context.abort_with_status(rpc_status.to_status(status))

        return behave

    def _count_message(self, call: Call, method: str, direction: str) -> None:
        call.counts[direction] += 1
        self._messages.labels(method, direction).inc()

    def _failed(self, error: Exception, request: Message | None) -> tuple[Status, dict[str, Any]]:
        """What the caller is told, and what the log is told besides."""
        if isinstance(error, SellertrustError) and code_of(error) != code_pb2.INTERNAL:
            try:
                return status_of(error), _about(error)
            except Exception:  # noqa: BLE001 (metadata that is no text, say: an error about an error)
                return self._unforeseen(request)
        return self._unforeseen(request)

    def _unforeseen(self, request: Message | None) -> tuple[Status, dict[str, Any]]:
        """The opaque status, and for the log alone: its id and the traceback, with pseudonyms for sellers."""
        error_id = uuid.uuid4().hex
        text = redact(traceback.format_exc(), _sellers(request), self._pseudonyms)
        return internal_status(error_id), {"error_id": error_id, "exception": text}

    def _parties(self, request: Message | None, response: Message | None) -> dict[str, Any]:
        """Whom the request is about: the seller's pseudonym if it is one, the number of items if it is a batch."""
        about: dict[str, Any] = {}
        names = {*_sellers(request), *_sellers(getattr(response, "violation", None))}
        if len(names) == 1:
            about["seller"] = self._pseudonyms(*names)
        items = next((len(getattr(request, name)) for name in ("sellers", "entries") if hasattr(request, name)), None)
        return about if items is None else about | {"items": items}

    def _observe(
        self,
        seconds_of: Histogram,
        method: str,
        number: int,
        started: float,
        request: Message | None,
        response: Message | None,
        about: Mapping[str, Any],
    ) -> None:
        """One canonical line and the metrics. Whatever goes wrong here must not change the answer."""
        seconds = perf_counter() - started
        try:
            code = code_pb2.Code.Name(code_pb2.Code.ValueType(number))
            self._count.labels(method, code).inc()
            seconds_of.labels(method, code).observe(seconds)
            fields = {"method": method, "code": code, "latency_ms": round(seconds * 1_000, 3)}
            fields |= {"model": self._model_digest()[:12], **self._parties(request, response), **about}
            write = self._log.error if number == code_pb2.INTERNAL else self._log.info
            write("request", **fields)
        except Exception:  # noqa: BLE001 (a closed stderr, a full disk)
            return


def _name_of(method: MethodDescriptor) -> str:
    return f"{method.containing_service.name}/{method.name}"


def _client_of(context: grpc.ServicerContext) -> str:
    """Whose a stream is: whom its certificate names, or the host that it comes from, whichever connection it uses."""
    if names := context.peer_identities():
        return b" ".join(names).decode("utf-8", "replace")
    return str(context.peer()).rpartition(":")[0]


def _call_of(context: grpc.ServicerContext) -> Call:
    def seconds_left() -> float:
        left = context.time_remaining()
        return inf if left > NO_DEADLINE_SECONDS else left

    return Call(seconds_left, context.is_active, context.add_callback)


def _about(error: SellertrustError) -> dict[str, Any]:
    """What the log says of a foreseen error: its reason, or the paths that are wrong; never texts, which may name."""
    if isinstance(error, InvalidInput):
        return {"fields": [wrong.field for wrong in error.shown]}
    return {"reason": error.reason}


def _sellers(message: Message | None) -> Iterator[str]:
    """The names of sellers in a request or a violation, as far as they are well formed."""
    if message is None:
        return
    candidates = [getattr(message, name, "") for name in ("seller", "parent")]
    candidates += getattr(message, "sellers", ())
    candidates += (entry.seller for entry in getattr(message, "entries", ()) if not isinstance(entry, str))
    for name in candidates:
        if "/sellers/" in name:
            yield name
