"""What happens around every RPC, in one place: parse, call, map errors, answer, log one line, count.

A servicer is a pure function from request to response that raises domain errors. Only this module knows gRPC's
contexts, and only it aborts: after `context.set_code` a handler would go on. Handlers are registered without a
deserializer, because grpcio answers bytes it cannot parse with UNKNOWN and sends exception texts to the caller.
"""

import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, Counter, Histogram

from scoring.errors import (
    EntryContentDiffers,
    EntryNotFound,
    ExposureRevisionTaken,
    InvalidInput,
    LedgerUnavailable,
    LifecycleForbids,
    NotifierNotFound,
    SelectionChanged,
    SellerNotFound,
    SellertrustError,
    ViolationNotFound,
    invalid,
)
from service.logs import Log, Pseudonyms, redact

DOMAIN = "sellertrust"
CODES: dict[type[SellertrustError], int] = {
    InvalidInput: code_pb2.INVALID_ARGUMENT,
    SellerNotFound: code_pb2.NOT_FOUND,
    ViolationNotFound: code_pb2.NOT_FOUND,
    EntryNotFound: code_pb2.NOT_FOUND,
    NotifierNotFound: code_pb2.NOT_FOUND,
    EntryContentDiffers: code_pb2.ALREADY_EXISTS,
    ExposureRevisionTaken: code_pb2.ALREADY_EXISTS,
    LifecycleForbids: code_pb2.FAILED_PRECONDITION,
    SelectionChanged: code_pb2.FAILED_PRECONDITION,
    LedgerUnavailable: code_pb2.UNAVAILABLE,
}
RETRY_AFTER_SECONDS = 1
MAX_DETAIL_BYTES = 4_000
"""Details travel in trailing metadata, of which many clients take 8 kB in all (base64 and the message included)."""

LATENCY_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

Behaviour = Callable[[bytes, grpc.ServicerContext], bytes]


def code_of(error: SellertrustError) -> int:
    """The `google.rpc.Code` of a domain error; INTERNAL for one that no caller can cause."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), code_pb2.INTERNAL)


def status_of(error: SellertrustError) -> Status:
    """A domain error as the status that the caller gets: code, message and details."""
    if isinstance(error, InvalidInput):
        return _bad_request(error)
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if isinstance(error, LedgerUnavailable):
        details.append(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_SECONDS)))
    return _status(code_of(error), error.message, *details)


def internal_status(error_id: str) -> Status:
    """The status of an unforeseen error: nothing but the id under which the operator finds it in the log."""
    info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id})
    return _status(code_pb2.INTERNAL, f"internal error; the operator finds it in the log by the id {error_id}", info)


def _bad_request(error: InvalidInput) -> Status:
    details = BadRequest()
    for wrong in error.shown:
        details.field_violations.add(field=wrong.field, description=wrong.description)
        if details.ByteSize() > MAX_DETAIL_BYTES and len(details.field_violations) > 1:
            del details.field_violations[-1]
            break
    first = next(iter(error.violations))
    more = len(error.violations) - 1
    message = f"{first.field}: {first.description}" + (f" (and {more} more, see the details)" if more else "")
    return _status(code_pb2.INVALID_ARGUMENT, message, details)


def _status(code: int, message: str, *details: Message) -> Status:
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    return Status(code=code, message=message, details=packed)


def parse(kind: type[Message], data: bytes) -> Message:
    """The request in `data`; fields of a newer contract are kept. InvalidInput about `request` if it is none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise invalid("request", f"is not a {name}: garbled, cut short, nested too deep, or text not UTF-8") from None


class Calls:
    """The mechanism around each RPC; `registry` gets its counters, `log` its lines. Holds no state of a call."""

    def __init__(
        self, log: Log, pseudonyms: Pseudonyms, registry: CollectorRegistry, model_digest: Callable[[], str]
    ) -> None:
        self._log = log
        self._pseudonyms = pseudonyms
        self._model_digest = model_digest
        labels = ("method", "code")
        self._count = Counter("sellertrust_requests", "Requests answered.", labels, registry=registry)
        self._seconds = Histogram(
            "sellertrust_request_seconds",
            "Time from a thread taking a request to its answer.",
            labels,
            registry=registry,
            buckets=LATENCY_SECONDS,
        )

    def handlers(
        self, service: ServiceDescriptor, servicer: object, pools: dict[str, ThreadPoolExecutor] | None = None
    ) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
        """A handler for every method of `service`, whose implementation is the servicer's method of the same name.

        `pools` gives a method, by name, threads of its own. TypeError if a method has no implementation, or streams.
        """
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
        for method in service.methods:
            implementation = getattr(servicer, method.name, None)
            if implementation is None or method.client_streaming or method.server_streaming:
                raise TypeError(
                    f"{type(servicer).__name__} does not implement {method.full_name} as request -> response"
                )
            behaviour = self._behaviour(method, implementation)
            if pools and method.name in pools:
                behaviour.experimental_thread_pool = pools[method.name]  # type: ignore[attr-defined]
            handlers[method.name] = grpc.unary_unary_rpc_method_handler(behaviour, None, None)
        return handlers

    def _behaviour(self, method: MethodDescriptor, implementation: Callable[[Any], Message]) -> Behaviour:
        kind = GetMessageClass(method.input_type)
        name = f"{method.containing_service.name}/{method.name}"

        def behave(data: bytes, context: grpc.ServicerContext) -> bytes:
            started = perf_counter()
            request = response = None
            answer, status = b"", Status()
            about: dict[str, Any] = {}
            try:
                request = parse(kind, data)
                response = implementation(request)
                answer = response.SerializeToString()
            except Exception as error:  # noqa: BLE001 (the one place that answers for whatever is unforeseen)
                status, about = self._failed(error, request)
            self._observe(name, status.code, started, request, response, about)
            if status.code != code_pb2.OK:
                context.abort_with_status(rpc_status.to_status(status))
            return answer

        return behave

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
            self._seconds.labels(method, code).observe(seconds)
            fields = {"method": method, "code": code, "latency_ms": round(seconds * 1_000, 3)}
            fields |= {"model": self._model_digest()[:12], **self._parties(request, response), **about}
            write = self._log.error if number == code_pb2.INTERNAL else self._log.info
            write("request", **fields)
        except Exception:  # noqa: BLE001 (a closed stderr, a full disk)
            return


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
