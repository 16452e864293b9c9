"""The error of a failed call."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Self
from urllib.parse import unquote

import grpc
import grpc.aio
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from sellertrust.v1.errors_pb2 import ItemError

_NO_CONNECTION = re.compile(r"(?:ipv4:|ipv6:)?(?P<place>\S+): (?:Failed to connect|connect failed)")
_NO_ADDRESS = re.compile(r"^errors? resolving (?P<place>\S+): ")
_HINTS = {
    "Socket closed": "; the server may speak TLS (give tls), ask for a client certificate (give certificate and key), or"
    " refuse the one that it is shown",
    "WRONG_VERSION_NUMBER": "; the server speaks no TLS (leave out tls)",
    "CERTIFICATE_VERIFY_FAILED": "; tls must hold the authority that signed the server's certificate, and target its name",
}


def _describe_connection(details: str) -> str:
    hint = next((hint for mark, hint in _HINTS.items() if mark in details), "")
    if not hint and (found := _NO_CONNECTION.search(details)):
        return f"No server answers at {unquote(found['place'])}. Start one with `sellertrust serve`."
    if not hint and (found := _NO_ADDRESS.search(details)):
        return f"The host of {found['place']} has no address. Check its name."
    return details + hint


class SellertrustCallError(Exception):
    """A failed call, with its details decoded."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        fields: Iterable[tuple[str, str]] = (),
        retry_delay: float | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.reason = reason
        """A name of `ErrorReason` without its prefix, such as `SELLER_NOT_FOUND`."""
        self.metadata = dict(metadata or {})
        """The reason's data."""
        self.fields = list(fields)
        """The request's wrong fields: (path, description)."""
        self.retry_delay = retry_delay
        """Seconds to wait before a retry, if the server states them."""
        super().__init__(code, message, reason, self.metadata, self.fields, retry_delay)

    def __str__(self) -> str:
        lines = [f"{path}: {description}" for path, description in self.fields]
        fields = "" if lines == [self.message] else "".join(f"\n  {line}" for line in lines)
        return f"{self.code.name}{self.reason and ' ' + self.reason}: {self.message}{fields}"

    @classmethod
    def of(cls, error: grpc.RpcError, seconds: float | None = None) -> Self:
        """Convert gRPC's error of a call, also of asyncio (`grpc.aio`).

        `seconds`: the call's deadline, if any.
        """
        code, message = grpc.StatusCode.UNKNOWN, str(error)
        if isinstance(error, grpc.Call | grpc.aio.AioRpcError):
            code, message = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            message = _describe_connection(message)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and seconds is not None:
            message = f"The server gave no answer within {seconds:g} s."
        if code is grpc.StatusCode.UNIMPLEMENTED:
            message = f"The server lacks this method ({message}). Use a client of its version."
        result = cls(code, message)
        try:
            status = rpc_status.from_call(error)
        except ValueError:  # details that contradict the code, perhaps from a proxy
            status = None
        for detail in status.details if status else ():
            result._read_detail(detail)
        result.args = (code, message, result.reason, result.metadata, result.fields, result.retry_delay)
        return result

    @classmethod
    def of_item(cls, error: ItemError) -> Self:
        """Convert the error of one item of a batch or stream, as if it were a call's."""
        codes = {code.value[0]: code for code in grpc.StatusCode}
        fields = [(wrong.field, wrong.description) for wrong in error.fields]
        code = codes.get(error.code, grpc.StatusCode.UNKNOWN)
        return cls(code, error.message, error.reason, error.metadata, fields)

    def _read_detail(self, detail: Any) -> None:
        info, request, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            self.reason, self.metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(request):
            self.fields = [(wrong.field, wrong.description) for wrong in request.field_violations]
        elif detail.Unpack(retry):
            self.retry_delay = retry.retry_delay.ToTimedelta().total_seconds()
