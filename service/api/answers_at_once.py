"""Answer calls from memory where their requests arrive, without a thread or a lock.

gRPC's one serving thread must not wait. It answers a call only if the caller is known, the request is granted and the
answer is remembered. Any other call goes to its pool.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

from google.protobuf.message import Message

from service.access.rights import MAY_BE_WRITTEN, METHODS, NEEDING_TWO
from service.api.gate import Caller, CallGate
from service.api.telemetry.call_records import CallRecords, Method
from service.api.telemetry.tracing import is_sampled
from service.contract.wire_size import parse
from service.engine.grpc_call import GrpcCall

FindAtOnce = Callable[[Any], Callable[[], bytes | None] | None]
"""Returns, for a request, a function that looks for its response without waiting, or None; may raise."""

MAX_BYTES = 512
"""A request about a seller with the longest names has 300 bytes."""

MAX_REQUESTS = 65_536
"""Parsed requests that are remembered, some 60 MB."""


@runtime_checkable
class AnswersAtOnce(Protocol):
    def find_answer_at_once(self, method_name: str) -> FindAtOnce | None:
        """Return what answers this method's calls from memory, without a thread; None if none can be."""


@dataclass(slots=True)
class _Request:
    message: Message
    find_response: Callable[[], bytes | None] | None
    """Looks for the response; None if it needs a thread."""
    seller: str
    allowed: tuple[object, Caller | None] = (None, None)
    """The rules that last granted it, and the caller."""


class AtOnce:
    """Answers calls of one method at once if possible, in gRPC's one serving thread.

    Raises TypeError for a method that may need an audit line or an approval, which wait.
    """

    def __init__(
        self, method: Method, find: FindAtOnce, gate: CallGate, records: CallRecords, is_traced: bool = False
    ) -> None:
        if method.name in MAY_BE_WRITTEN or METHODS[method.name].right in NEEDING_TWO:
            raise TypeError(f"{method.name} cannot be answered at once: it may be audited, or need approval")
        self._method = method
        self._find = find
        self._gate = gate
        self._records = records
        self._is_traced = is_traced
        self._parse_cached: Callable[[bytes], _Request] = lru_cache(MAX_REQUESTS)(self._parse)

    def __call__(self, data: bytes, call: GrpcCall) -> bytes | None:
        """Return the response, counted and logged; None if the request needs a thread or a refusal."""
        try:
            if self._is_traced and is_sampled(call.metadata):
                return None
            return self._find_response(data, call)
        except Exception:  # noqa: BLE001 (whatever it is, a thread of the pool says it)
            return None

    def _find_response(self, data: bytes, call: GrpcCall) -> bytes | None:
        began = perf_counter()
        gate, method = self._gate, self._method
        caller = gate.recognise(call.context)
        if caller is None:
            return None
        if len(data) > MAX_BYTES:
            return None
        request = self._parse_cached(data)
        if request.find_response is None:
            return None
        rules = gate.rules
        if request.allowed[0] is not rules or request.allowed[1] is not caller:
            if gate.require(caller, method.name, request.message) is not None:
                return None
            request.allowed = (rules, caller)
        response = request.find_response()
        if response is None or not gate.admit_at_once(caller, method.call_class):
            return None
        self._records.end_at_once(method, request.seller, caller, began, call.waited_seconds)
        return response

    def _parse(self, data: bytes) -> _Request:
        message = parse(self._method.request_type, data)
        return _Request(message, self._find(message), self._records.pseudonym_of(message))
