"""Domain errors become gRPC statuses only here."""

import math

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from scoring.base import errors
from scoring.base.errors import InvalidInput, SellertrustError
from sellertrust.v1 import errors_pb2

DOMAIN = "sellertrust"
CODES: dict[type[SellertrustError], int] = {
    errors.InvalidInput: code_pb2.INVALID_ARGUMENT,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.EntryContentDiffers: code_pb2.ALREADY_EXISTS,
    errors.ExposureRevisionTaken: code_pb2.ALREADY_EXISTS,
    errors.StateForbids: code_pb2.FAILED_PRECONDITION,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.TooManyCalls: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.DeadlinePassed: code_pb2.DEADLINE_EXCEEDED,
    errors.CallerGone: code_pb2.CANCELLED,
}
"""The nearest class of an error decides."""
RETRY_AFTER_SECONDS = 1
MAX_DETAIL_BYTES = 4_000
"""Details are trailing metadata; many clients take 8 kB in all, including base64 and message."""


def code_of(error: SellertrustError) -> int:
    """Return the number of an error's gRPC code; INTERNAL if it has none."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), code_pb2.INTERNAL)


def status_of(error: SellertrustError) -> Status:
    """Return the caller's gRPC status: code, message, and details.

    Details are the reason and metadata, wrong fields, and when to retry.
    """
    if isinstance(error, InvalidInput):
        return _bad_request(error)
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if isinstance(error, errors.LedgerUnavailable | errors.AuditUnavailable | errors.TooStale | errors.ServerBusy):
        details.append(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_SECONDS)))
    if isinstance(error, errors.OccurTimeAhead | errors.TooManyCalls):
        milliseconds = math.ceil(error.seconds * 1000)
        details.append(
            RetryInfo(retry_delay=Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000))
        )
    return _status(code_of(error), error.message, *details)


def item_error(error: SellertrustError) -> errors_pb2.ItemError:
    """Convert a domain error to the message for one item of a batch or stream.

    `reason` is a code such as "INTERNAL", or "" if `fields` has the wrong fields.
    """
    fields = error.first_violations if isinstance(error, InvalidInput) else ()
    reason = "" if fields else error.reason or "INTERNAL"
    return errors_pb2.ItemError(
        code=code_of(error),
        reason=reason,
        message=status_of(error).message,
        metadata=error.metadata,
        fields=[errors_pb2.FieldError(field=wrong.field, description=wrong.description) for wrong in fields],
    )


def internal_status(error_id: str) -> Status:
    """Return the status of an unforeseen error, which the log explains under `error_id`."""
    info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id})
    return _status(code_pb2.INTERNAL, f"internal error; the operator finds it in the log by the id {error_id}", info)


def _bad_request(error: InvalidInput) -> Status:
    details = BadRequest()
    for wrong in error.first_violations:
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
