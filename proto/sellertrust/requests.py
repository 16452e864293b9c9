"""Parts of requests (names, times, decisions), and functions that make calls."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sellertrust.errors import SellertrustCallError
from sellertrust.names import marketplace_name, seller_name, violation_name
from sellertrust.waiting import settle

Time = datetime | Timestamp

MaxStaleness = timedelta | Literal["any", "fresh"]
"""The largest age of an answer while the database is away: `any` for a badge, `fresh` for a payout, or a span."""

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


def parent_name(marketplace: str, seller: str | None) -> str:
    """Return the `parent` of a list: the seller's name, or the marketplace's if `seller` is None."""
    return marketplace_name(marketplace) if seller is None else seller_name(marketplace, seller)


def pages(method: "grpc.UnaryUnaryMultiCallable[Any, Any]", request: Any, items: str, seconds: float) -> Iterator[Any]:
    """Yield the items of a list, each page within `seconds`. Raises SellertrustCallError.

    `items`: the response's field that holds them. `request` is changed: it gets each page's token.
    """
    while True:
        page = invoke(method, request, seconds)
        yield from getattr(page, items)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def times(**given: Time | None) -> dict[str, Any]:
    """Return the given times, as messages by name. Raises ValueError for a time without a zone."""
    return {name: timestamp(name, time) for name, time in given.items() if time is not None}


def bounds(
    observe_time: Time | None = None, known_time: Time | None = None, at_least_sequence: int = 0
) -> dict[str, Any]:
    """Return the given fields that bound a read. Raises ValueError for a time without a zone."""
    given = times(observe_time=observe_time, known_time=known_time)
    return given | ({"at_least_sequence": at_least_sequence} if at_least_sequence else {})


def staleness(max_staleness: MaxStaleness) -> dict[str, Any]:
    """Return the field for the largest age of a stale answer.

    Raises ValueError for a negative one or an unknown word, TypeError for other types.
    """
    if max_staleness == "any":
        return {}
    if isinstance(max_staleness, str):
        if max_staleness != "fresh":
            raise ValueError(f"max_staleness must be 'any', 'fresh' or a timedelta, not {max_staleness!r}")
        return {"max_staleness": Duration()}
    if not isinstance(max_staleness, timedelta):
        wanted = "'any', 'fresh' or a timedelta, as timedelta(seconds=5)"
        raise TypeError(f"max_staleness must be {wanted}, not {max_staleness!r}")
    if max_staleness < timedelta():
        raise ValueError("max_staleness must not be negative")
    message = Duration()
    message.FromTimedelta(max_staleness)
    return {"max_staleness": message}


def timestamp(name: str, time: Time) -> Timestamp:
    """Return a time as a message. Raises ValueError, with the field `name`, for a time without a zone."""
    if isinstance(time, Timestamp):
        return time
    if time.tzinfo is None:
        raise ValueError(f"{name} has no time zone; give it one, as in datetime.now(UTC)")
    message = Timestamp()
    message.FromDatetime(time)
    return message


def printable(name: str) -> str:
    """Return a name with `?` for what UTF-8 cannot encode: an id from elsewhere may hold half of a surrogate pair."""
    return name.encode(errors="replace").decode()


def decision(marketplace: str, violation: str, actor: str, reason: str, entry_id: str | None) -> dict[str, Any]:
    """Return a decision's common fields; without `entry_id` a new random one, so a retry must pass its own."""
    name = violation_name(marketplace, violation)
    return {"name": name, "actor": actor, "reason": reason, "entry_id": entry_id or uuid.uuid4().hex}


def invoke(method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, seconds: float) -> Response:
    """Call a method with a deadline of `seconds`. Raises SellertrustCallError."""
    try:
        answer: Any = method(request, timeout=seconds)
        return cast(Response, answer if isinstance(answer, Message) else settle(answer))
    except grpc.RpcError as error:
        raise SellertrustCallError.of(error, seconds) from error
