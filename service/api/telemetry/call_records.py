import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from time import monotonic, perf_counter
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, Gauge

from scoring.base.errors import (
    CallerGone,
    DeadlinePassed,
    InvalidInput,
    LedgerUnavailable,
    SellertrustError,
    TooManyCalls,
    invalid,
)
from scoring.base.frozen import frozen
from service.api.gate import AuditedCall, Caller
from service.api.stream_threads import unsent_text
from service.api.telemetry.logs import Log, Pseudonyms, log_name, redact
from service.api.telemetry.plain_metrics import PlainCounter, PlainHistogram
from service.api.telemetry.tracing import Tracing
from service.call_context import Call
from service.contract.statuses import code_of, internal_status, status_of
from service.engine.grpc_call import GrpcCall
from service.engine.pools import RULES, Pool
from service.engine.waiting_line import Cause
from service.ledger.clock.tail import server_stopping_error
from service.ledger.database.database import outage_of

LATENCY_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
STREAM_SECONDS = (0.1, 1, 10, 60, 600, 3_600)
WAIT_SECONDS = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

REFUSALS = frozenset({code_pb2.UNAUTHENTICATED, code_pb2.PERMISSION_DENIED, code_pb2.RESOURCE_EXHAUSTED})
"""Codes of refused calls, which anyone can make in any number."""

REFUSAL_LINES_A_SECOND = 20

MAX_CALLERS = 4_096

LISTS = ("sellers", "entries")


@frozen
class Method:
    name: str
    request_type: type[Message]
    takes_stream: bool
    gives_stream: bool
    call_class: str
    nested: int = 0
    """The field's number of a batch of entries; 0 if none."""
    has_entries: bool = False


@dataclass(slots=True)
class ServedCall:
    method: Method
    call: Call
    caller: Caller | None = None
    is_granted: bool = False
    audited: AuditedCall | None = None
    """The request's line of the audit file."""
    rules: object = None
    started: float = field(default_factory=perf_counter)
    """When a thread took the call, in seconds of the performance counter."""
    waited_seconds: float = 0.0
    request: Message | None = None
    response: Message | None = None
    """None in a stream."""


class LineLimiter:
    """Lets a bounded number of lines a second through and counts the rest. Thread-safe."""

    def __init__(self, a_second: int, clock: Callable[[], float] = monotonic) -> None:
        self._a_second = a_second
        self._clock = clock
        self._lock = threading.Lock()
        self._second = -1
        self._written = self._left_out = 0

    def take(self) -> int | None:
        """Return the number omitted before this line; None if it is omitted too."""
        with self._lock:
            second = int(self._clock())
            if second != self._second:
                self._second, self._written = second, 0
            if self._written >= self._a_second:
                self._left_out += 1
                return None
            self._written += 1
            left_out, self._left_out = self._left_out, 0
            return left_out


class CallRecords:
    def __init__(
        self,
        log: Log,
        pseudonyms: Pseudonyms,
        registry: CollectorRegistry,
        model_digest: Callable[[], str],
        tracing: Tracing | None = None,
    ) -> None:
        self._log = log
        self._tracing = tracing
        self._pseudonyms = pseudonyms
        self._show_cached_caller: Callable[[str], str] = lru_cache(MAX_CALLERS)(self._show_caller)
        self._refusals = LineLimiter(REFUSAL_LINES_A_SECOND)
        self._model_digest = model_digest
        labels = ("method", "code")
        self._count = PlainCounter("sellertrust_requests", "Requests answered, refused and expired.", labels, registry)
        self._turned_away = PlainCounter(
            "sellertrust_turned_away",
            "Requests, counted among all, whose work was not begun, by why.",
            ("pool", "cause"),
            registry,
        )
        self._wait_seconds = PlainHistogram(
            "sellertrust_wait_seconds",
            "Time from the arrival of a call to its answer at once, to a thread taking it, or to its being turned away.",
            ("pool",),
            registry,
            WAIT_SECONDS,
        )
        self._seconds = PlainHistogram(
            "rpc_server_call_duration_seconds",  # OpenTelemetry's name, rpc.server.call.duration
            "Time from a thread taking a request to its answer.",
            ("rpc_method", "rpc_response_status_code"),
            registry,
            LATENCY_SECONDS,
        )
        self._stream_seconds = PlainHistogram(
            "sellertrust_stream_seconds",
            "Time from a thread taking a stream to its end.",
            labels,
            registry,
            STREAM_SECONDS,
        )
        directions = ("method", "direction")
        self._messages = PlainCounter("sellertrust_stream_messages", "Messages of streams.", directions, registry)
        self.open_streams = Gauge("sellertrust_open_streams", "Streams that are open.", ("method",), registry=registry)

    def waited(self, pool: str, seconds: float) -> None:
        """Count the seconds from a call's arrival to its thread or answer."""
        self._wait_seconds.observe(seconds, pool)

    def status(self, pool: str, cause: Cause) -> grpc.Status:
        return _status_of_refusal(pool, cause)

    def turned_away(self, pool: str, call: GrpcCall, cause: Cause) -> None:
        """Count a call refused before its work, by pool and cause; log only a few a second.

        Health calls are not counted by method and code, nor logged.
        """
        self._turned_away.add(pool, cause.value)
        if not call.method:
            return
        code = _code_of_refusal(pool, cause)
        self._count.add(call.method, code)
        left_out = self._refusals.take()
        if left_out is not None:
            fields: dict[str, Any] = {"left_out": left_out} if left_out else {}
            if call.caller:
                fields["caller"] = self._show_cached_caller(call.caller)
            wait = round(call.waited_seconds * 1_000, 3)
            self._log.info("request", method=call.method, code=code, turned_away=cause.value, wait_ms=wait, **fields)

    def count_message(self, served: ServedCall, direction: str) -> None:
        served.call.counts[direction] += 1
        self._messages.add(served.method.name, direction)

    def report(self, event: str, problem: str) -> None:
        self._log.error(event, problem=problem)

    def failure(self, error: Exception, request: Message | None) -> tuple[Status, dict[str, Any]]:
        """Return the caller's status for an error, and its log fields.

        A domain error has its own status, unless that is INTERNAL. For others the caller gets an opaque id; the log
        gets the traceback without sellers' ids.
        """
        if isinstance(error, SellertrustError) and code_of(error) != code_pb2.INTERNAL:
            try:
                return status_of(error), _list_log_fields(error)
            except Exception:  # noqa: BLE001 (metadata that is no text, say: an error about an error)
                return self._report_unforeseen(request)
        return self._report_unforeseen(request)

    def end(self, served: ServedCall, number: int, details: Mapping[str, Any]) -> None:
        """Count and log a call that ended with the code `number`. Never raises: the answer must go out."""
        seconds = perf_counter() - served.started
        method = served.method
        try:
            code = _code_name(number)
            self._count.add(method.name, code)
            (self._stream_seconds if method.gives_stream else self._seconds).observe(seconds, method.name, code)
            wait_ms = round(served.waited_seconds * 1_000, 3)
            fields: dict[str, Any] = {
                "method": method.name,
                "code": code,
                "latency_ms": round(seconds * 1_000, 3),
                "wait_ms": wait_ms,
            }
            if served.caller is not None:
                fields["caller"] = self._show_cached_caller(served.caller.name)
            if self._tracing is not None:
                fields.update(self._tracing.end(number))
            if number in REFUSALS:
                left_out = self._refusals.take()
                if left_out is None:
                    return
                if left_out:
                    fields["left_out"] = left_out
            if served.call.approval is not None:
                fields["proposal"] = served.call.approval.proposal or "emergency"
            fields["model"] = self._model_digest()[:12]
            self._add_parties(fields, served)
            fields.update(details)
            write = self._log.error if number == code_pb2.INTERNAL else self._log.info
            write("request", **fields)
        except Exception:  # noqa: BLE001 (a closed stderr, a full disk)
            return

    def end_at_once(self, method: Method, seller: str, caller: Caller, began: float, waited_seconds: float) -> None:
        """Count and log a call that was answered with OK at once, as `end`.

        `seller`: the pseudonym; `began`: in seconds of the performance counter.
        """
        seconds = perf_counter() - began
        self._count.add(method.name, "OK")
        self._seconds.observe(seconds, method.name, "OK")
        self._log.info(
            "request",
            method=method.name,
            code="OK",
            latency_ms=round(seconds * 1_000, 3),
            wait_ms=round(waited_seconds * 1_000, 3),
            caller=self._show_cached_caller(caller.name),
            model=self._model_digest()[:12],
            seller=seller,
        )

    def pseudonym_of(self, request: Message) -> str:
        """Return the pseudonym of a request's only seller, else ""."""
        names = {*_find_seller_names(request)}
        return self._pseudonyms(*names) if len(names) == 1 else ""

    def _show_caller(self, caller: str) -> str:
        return " ".join(log_name(name, self._pseudonyms) for name in caller.split(" "))

    def _report_unforeseen(self, request: Message | None) -> tuple[Status, dict[str, Any]]:
        error_id = uuid.uuid4().hex
        text = redact(traceback.format_exc(), _find_seller_names(request), self._pseudonyms)
        return internal_status(error_id), {"error_id": error_id, "exception": text}

    def _add_parties(self, fields: dict[str, Any], served: ServedCall) -> None:
        request = None if served.method.takes_stream else served.request
        names = {*_find_seller_names(request)}
        if served.response is not None:
            names.update(_find_seller_names(getattr(served.response, "violation", None)))
        if len(names) == 1:
            fields["seller"] = self._pseudonyms(*names)
        if request is not None and (field_names := _list_present_fields(request.DESCRIPTOR, LISTS)):
            fields["items"] = len(getattr(request, field_names[0]))


_TOO_MANY = (
    ("this server has more calls of this kind than it can answer; ask again, or another server", ""),
    (
        "this caller asks on after refusals: wait as they say if they are for its limits, else show who calls, or have it"
        " granted",
        "calls",
    ),
)


@cache
def _status_of_refusal(pool: str, cause: Cause) -> grpc.Status:
    status: grpc.Status = rpc_status.to_status(status_of(_make_refusal(pool, cause)))
    return status


@cache
def _code_of_refusal(pool: str, cause: Cause) -> str:
    return _code_name(code_of(_make_refusal(pool, cause)))


@cache
def _code_name(number: int) -> str:
    return str(code_pb2.Code.Name(code_pb2.Code.ValueType(number)))


def _make_refusal(pool: str, cause: Cause) -> SellertrustError:
    rules = RULES[Pool(pool)]
    match cause:
        case Cause.FULL | Cause.LATE | Cause.DELAY | Cause.LIMIT:
            text, limit = _TOO_MANY[cause is Cause.LIMIT]
            return TooManyCalls(text, {"limit": limit or str(rules.limit)})
        case Cause.LARGE:
            return invalid("request", f"is larger than {rules.message_bytes:,} bytes; split it")
        case Cause.UNSENT:
            return DeadlinePassed(unsent_text(rules.message_seconds))
        case Cause.DEADLINE:
            return DeadlinePassed(
                "the call's deadline has passed, or is nearer than its work takes, which was not begun"
            )
        case Cause.STOPPING:
            return server_stopping_error()
        case Cause.GONE:
            return CallerGone("the caller has gone, so its work was not begun")


def _list_log_fields(error: SellertrustError) -> dict[str, Any]:
    """Return a foreseen error's reason, or its wrong fields; never its texts, which may hold names."""
    if isinstance(error, InvalidInput):
        return {"fields": [wrong.field for wrong in error.first_violations]}
    if isinstance(error, LedgerUnavailable) and error.__cause__ is not None:
        return {"reason": error.reason, "problem": outage_of(error)}
    return {"reason": error.reason}


@cache
def _list_present_fields(kind: Descriptor, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in kind.fields_by_name)


def _find_seller_names(message: Message | None) -> Iterator[str]:
    if message is None:
        return
    candidates = [getattr(message, name) for name in _list_present_fields(message.DESCRIPTOR, ("seller", "parent"))]
    for name in _list_present_fields(message.DESCRIPTOR, LISTS):
        listed = getattr(message, name)
        candidates += listed if name == "sellers" else (entry.seller for entry in listed if not isinstance(entry, str))
    for name in candidates:
        if "/sellers/" in name:
            yield name
