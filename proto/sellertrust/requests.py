"""The parts of requests: names, times, decisions; and the one way in which calls are made."""

import uuid
from datetime import datetime
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sellertrust.errors import SellertrustCallError

Time = datetime | Timestamp
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


def seller_name(marketplace: str, seller: str) -> str:
    """`seller_name("m", "s") == "marketplaces/m/sellers/s"`, as `Entry.seller` wants it."""
    return f"{marketplace_name(marketplace)}/sellers/{seller}"


def violation_name(marketplace: str, violation: str) -> str:
    """`violation_name("m", "v") == "marketplaces/m/violations/v"`; a violation's id is the `entry_id` of its report."""
    return f"{marketplace_name(marketplace)}/violations/{violation}"


def marketplace_name(marketplace: str) -> str:
    """`marketplace_name("m") == "marketplaces/m"`."""
    return f"marketplaces/{marketplace}"


def parent_name(marketplace: str, seller: str | None) -> str:
    """What is listed: all of a marketplace, or what concerns one seller of it."""
    return marketplace_name(marketplace) if seller is None else seller_name(marketplace, seller)


def bounds(
    observe_time: Time | None = None, known_time: Time | None = None, at_least_sequence: int = 0
) -> dict[str, Any]:
    """The fields that bound a read, as far as they are given. ValueError for a time without a zone."""
    given = {"observe_time": observe_time, "known_time": known_time}
    fields: dict[str, Any] = {name: timestamp(name, time) for name, time in given.items() if time is not None}
    return fields | ({"at_least_sequence": at_least_sequence} if at_least_sequence else {})


def timestamp(name: str, time: Time) -> Timestamp:
    """The time as a message; `name` is for the ValueError about a missing zone."""
    if isinstance(time, Timestamp):
        return time
    if time.tzinfo is None:
        raise ValueError(f"{name} has no time zone; give it one, as in datetime.now(UTC)")
    message = Timestamp()
    message.FromDatetime(time)
    return message


def printable(name: str) -> str:
    """A name that UTF-8 can carry: an id from elsewhere may hold half of a surrogate pair."""
    return name.encode(errors="replace").decode()


def decision(marketplace: str, violation: str, actor: str, reason: str, entry_id: str | None) -> dict[str, Any]:
    """The fields of a decision; an `entry_id` is made if none is given."""
    name = violation_name(marketplace, violation)
    return {"name": name, "actor": actor, "reason": reason, "entry_id": entry_id or uuid.uuid4().hex}


def invoke(method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, seconds: float) -> Response:
    """The answer of a call that must end within `seconds`. SellertrustCallError."""
    try:
        return method(request, timeout=seconds)
    except grpc.RpcError as error:
        raise SellertrustCallError.of(error) from error
