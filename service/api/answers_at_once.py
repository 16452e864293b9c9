"""Calls that are answered where their requests arrive, from what is remembered, without a thread or a lock.

gRPC serves by one thread, in which nothing may wait: no file, no database, no lock that somebody holds for long. So a call
is answered there only if its caller is known already, what it asks for is granted, and the answer is remembered. Any other
call goes to its pool, and is asked everything anew there, from the beginning.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

from google.protobuf.message import Message

from service.access.rights import MAY_BE_WRITTEN, METHODS, NEEDING_TWO
from service.api.gate import Caller, Gate
from service.api.telemetry.call_records import CallRecords, Method
from service.engine.grpc_call import GrpcCall

FindAtOnce = Callable[[Any], Callable[[], bytes | None] | None]
"""Gives, for a request, what looks for its response without waiting, None where there never is one; may raise."""

MAX_BYTES = 512
"""How long a request may be that is remembered: one of a seller with the longest names has 300 bytes."""

MAX_REQUESTS = 65_536
"""Requests that are remembered, so that none is parsed twice; with one more all of them are forgotten: some 60 MB."""


@runtime_checkable
class AnswersAtOnce(Protocol):
    """A servicer of which some methods have answers that need no thread."""

    def at_once(self, name: str) -> FindAtOnce | None:
        """Return what finds such answers of a method by its name; None if each of its calls needs a thread."""


class _Request:
    """A request that was parsed."""

    __slots__ = ("allowed", "find", "message", "seller")

    def __init__(self, message: Message, find: Callable[[], bytes | None] | None, seller: str) -> None:
        self.message = message
        self.find = find
        """Looks for its response; None if it needs a thread."""
        self.seller = seller
        """The pseudonym of the seller whom it is about."""
        self.allowed: tuple[object, Caller | None] = (None, None)
        """The rules by which it was last found to be granted, and to whom."""


class AtOnce:
    """Answers the calls of one method at once where that is possible. For the one thread by which gRPC serves.

    TypeError if a call of the method may have to be written to the audit file or be approved first, which waits.
    """

    def __init__(self, method: Method, find: FindAtOnce, gate: Gate, records: CallRecords) -> None:
        if method.name in MAY_BE_WRITTEN or METHODS[method.name].right in NEEDING_TWO:
            raise TypeError(f"{method.name} cannot be answered at once: it may be audited, or need approval")
        self._method = method
        self._find = find
        self._gate = gate
        self._records = records
        self._requests: dict[bytes, _Request] = {}

    def __call__(self, data: bytes, call: GrpcCall) -> bytes | None:
        """Return the response to a request, counted and logged; None if it needs a thread, or is to be refused."""
        try:
            return self._answer(data, call)
        except Exception:  # noqa: BLE001 (whatever it is, a thread of the pool says it)
            return None

    def _answer(self, data: bytes, call: GrpcCall) -> bytes | None:
        began = perf_counter()
        gate, method = self._gate, self._method
        caller = gate.recognise(call.context)
        if caller is None:
            return None
        request = self._requests.get(data) or self._parsed(data)
        if request is None or request.find is None:
            return None
        rules = gate.rules
        if request.allowed[0] is not rules or request.allowed[1] is not caller:
            if gate.require(caller, method.name, request.message) is not None:
                return None  # an answer of which a part alone may be shown
            request.allowed = (rules, caller)
        response = request.find()
        if response is None or not gate.admit_at_once(caller, method.call_class):
            return None
        self._records.end_at_once(method, request.seller, caller, began, call.waited_seconds)
        return response

    def _parsed(self, data: bytes) -> _Request | None:
        """Return a request, parsed and remembered; None if it is too long for either."""
        if len(data) > MAX_BYTES:
            return None
        message = self._method.request_type.FromString(data)
        request = _Request(message, self._find(message), self._records.pseudonym_of(message))
        if len(self._requests) >= MAX_REQUESTS:
            self._requests.clear()
        self._requests[data] = request
        return request
