"""The tokens of pages, of whatever list: each belongs to its request, and what is forged into one is refused."""

import base64
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from sellertrust.errors import SellertrustCallError
from sellertrust.v1 import ledger_service_pb2, model_service_pb2, review_service_pb2
from service.api.reads import is_number, page_of
from service.ledger.records import Cut
from tests.servers import MARKET, running_server

PARENT = f"marketplaces/{MARKET}"
LISTS: dict[str, Message] = {
    "LedgerService/ListEntries": ledger_service_pb2.ListEntriesRequest(parent=PARENT),
    "LedgerService/ListViolations": ledger_service_pb2.ListViolationsRequest(parent=PARENT),
    "ReviewService/ListNotifiers": review_service_pb2.ListNotifiersRequest(parent=PARENT),
    "ReviewService/ListReviewQueue": review_service_pb2.ListReviewQueueRequest(parent=PARENT),
    "ModelService/ListModels": model_service_pb2.ListModelsRequest(),
    "ModelService/ListModelMoves": model_service_pb2.ListModelMovesRequest(),
}
SOUND = {"ListNotifiers": b"n-1", "ListModels": b"a" * 64}
"""What a page may go on after; elsewhere it is a number."""


def forged(request: Message, body: bytes) -> str:
    """A token of this body under the checksum that anybody can compute."""
    bound = request.DESCRIPTOR.full_name.encode() + request.SerializeToString(deterministic=True) + b"\0" + body
    return base64.urlsafe_b64encode(sha256(bound).digest()[:12] + body).decode()


def refused_fields(address: str, method: str, request: Any) -> list[str]:
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/sellertrust.v1.{method}")(request.SerializeToString(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return [field for field, _ in SellertrustCallError.of(caught.value).fields]


def test_what_is_forged_into_a_token_is_refused_by_its_field_in_every_list(tmp_path: Path) -> None:
    """Texts that no list goes on after, and cuts outside of all time."""
    afters = (b"", b"\xff\xfe", b"9" * 5_000, b"a\0b", "\u0661".encode(), b" ")
    times = ((-1, 0, 0), (2**63 - 1, 0, 0), (0, -(2**63), 0), (0, 2**63 - 1, 0), (0, 0, -1))
    with running_server(tmp_path) as running:
        for method, empty in LISTS.items():
            sound = SOUND.get(method.split("/")[1], b"1")
            bodies = [struct.pack(">qqq", 1, 1, 1) + after for after in afters]
            bodies += [struct.pack(">qqq", *cut) + sound for cut in times]
            for body in [*bodies, b"", b"short"]:
                request: Any = type(empty)()
                request.CopyFrom(empty)
                request.page_token = forged(empty, body)
                assert refused_fields(running.address, method, request) == ["page_token"], (method, body)


@pytest.mark.parametrize("method", LISTS)
def test_a_token_is_refused_beside_parameters_that_it_was_not_made_for(method: str) -> None:
    """Such as one that this release does not know yet; the size of a page alone may change."""
    request: Any = type(LISTS[method])()
    request.CopyFrom(LISTS[method])
    cut = Cut(7, 8, 9)
    token = page_of(request, is_number, lambda: cut).token(5)
    request.page_size, request.page_token = 3, token
    again = page_of(request, is_number)
    assert (again.cut, again.after, again.limit) == (cut, "5", 3)
    request.MergeFromString(b"\xf8\x07\x01")  # field 127, a number
    with pytest.raises(Exception, match="page_token: must be the next_page_token of the page before"):
        page_of(request, is_number)
