"""What a failed call tells, decoded."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from sellertrust.v1.errors_pb2 import ItemError


class SellertrustCallError(Exception):
    """A call failed, with the details decoded.

    `reason` is a name of `ErrorReason` without its prefix, such as `SELLER_NOT_FOUND`, and `metadata` its data;
    `fields` are the (path, description) of what is wrong in the request; `retry_delay` is in seconds.
    """

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
        self.metadata = dict(metadata or {})
        self.fields = list(fields)
        self.retry_delay = retry_delay
        super().__init__(code, message, reason, self.metadata, self.fields, retry_delay)

    def __str__(self) -> str:
        told = [f"{path}: {description}" for path, description in self.fields]
        fields = "" if told == [self.message] else "".join(f"\n  {one}" for one in told)
        return f"{self.code.name}{self.reason and ' ' + self.reason}: {self.message}{fields}"

    @classmethod
    def of(cls, error: grpc.RpcError) -> Self:
        """The error of a call as gRPC raises it."""
        code, message = grpc.StatusCode.UNKNOWN, str(error)
        if isinstance(error, grpc.Call):
            code, message = error.code(), error.details() or ""
        result = cls(code, message)
        try:
            status = rpc_status.from_call(error)
        except ValueError:  # details that contradict the code, as a proxy on the way may make them
            status = None
        for detail in status.details if status else ():
            result._take(detail)
        result.args = (code, message, result.reason, result.metadata, result.fields, result.retry_delay)
        return result

    @classmethod
    def of_item(cls, error: ItemError) -> Self:
        """The error of one item of a batch or of a stream, as if it had been a call."""
        codes = {code.value[0]: code for code in grpc.StatusCode}
        fields = [(wrong.field, wrong.description) for wrong in error.fields]
        code = codes.get(error.code, grpc.StatusCode.UNKNOWN)
        return cls(code, error.message, error.reason, error.metadata, fields)

    def _take(self, detail: Any) -> None:
        info, request, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            self.reason, self.metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(request):
            self.fields = [(wrong.field, wrong.description) for wrong in request.field_violations]
        elif detail.Unpack(retry):
            self.retry_delay = retry.retry_delay.ToTimedelta().total_seconds()
