from collections.abc import Callable
from typing import Any

import grpc
import pytest

from sellertrust.client import SellertrustCallError


def refusal(call: Callable[..., Any], /, *arguments: Any, **options: Any) -> SellertrustCallError:
    try:
        call(*arguments, **options)
    except SellertrustCallError as error:
        return error
    except grpc.RpcError as error:  # of a bare stub
        return SellertrustCallError.of(error)
    pytest.fail("the call was not refused")


def refused(
    code: str, reason: str, call: Callable[..., Any], /, *arguments: Any, **options: Any
) -> SellertrustCallError:
    error = refusal(call, *arguments, **options)
    assert (error.code, error.reason) == (grpc.StatusCode[code], reason), error
    return error


def refused_fields(call: Callable[..., Any], /, *arguments: Any, **options: Any) -> list[str]:
    return [field for field, _ in refused("INVALID_ARGUMENT", "", call, *arguments, **options).fields]


def denied(call: Callable[..., Any], /, *arguments: Any, **options: Any) -> SellertrustCallError:
    return refused("PERMISSION_DENIED", "CALLER_NOT_GRANTED", call, *arguments, **options)
