import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import grpc

from sellertrust.errors import SellertrustCallError
from service.web.badges import BUSY, BUSY_SECONDS
from service.web.frame.visits import WAITING, Problem, describe_call_error

READ_SECONDS = 15.0

_CALLS = ThreadPoolExecutor(16, thread_name_prefix="desk")
T = TypeVar("T")


class PagePart(NamedTuple):
    """What a call answered, or why this visitor does not see it."""

    value: Any
    problem: Problem | None


def start_call(call: Callable[[], T]) -> "Future[T]":
    """Make a call patiently in another thread. It must not wait for a third."""
    return _CALLS.submit(call_patiently, call)


def call_patiently(call: Callable[[], T]) -> T:
    """Make a call, again while the service is busy, for READ_SECONDS; then raise its error."""
    until = time.monotonic() + READ_SECONDS
    while True:
        try:
            return call()
        except SellertrustCallError as error:
            if error.reason not in BUSY or time.monotonic() > until:
                raise
        time.sleep(BUSY_SECONDS)


def call_or_problem(call: Callable[[], Any]) -> PagePart:
    """Return a call's answer or refusal. Raises SellertrustCallError for an absent service."""
    try:
        return PagePart(call(), None)
    except SellertrustCallError as error:
        if error.code in WAITING:
            raise
        return PagePart(None, describe_call_error(error))


def none_if_not_found(call: Callable[[], T]) -> T | None:
    try:
        return call()
    except SellertrustCallError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            return None
        raise
