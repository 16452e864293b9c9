import base64
import struct
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from scoring.base.time import DAY, SECOND
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.v1 import (
    audit_service_pb2,
    ledger_service_pb2,
    model_service_pb2,
    policy_service_pb2,
    proposal_service_pb2,
    review_service_pb2,
)
from service.access.rights import METHODS
from service.api.reads import Reads
from service.ledger.records import Cut
from tests.helpers.servers import MARKET, Running, identity, running_server

PARENT = f"marketplaces/{MARKET}"
LISTS: dict[str, Message] = {
    "LedgerService/ListEntries": ledger_service_pb2.ListEntriesRequest(parent=PARENT),
    "LedgerService/ListViolations": ledger_service_pb2.ListViolationsRequest(parent=PARENT),
    "ReviewService/ListNotifiers": review_service_pb2.ListNotifiersRequest(parent=PARENT),
    "ReviewService/ListReviewQueue": review_service_pb2.ListReviewQueueRequest(parent=PARENT),
    "ModelService/ListModels": model_service_pb2.ListModelsRequest(),
    "ModelService/ListModelMoves": model_service_pb2.ListModelMovesRequest(),
    "PolicyService/ListPolicyMoves": policy_service_pb2.ListPolicyMovesRequest(),
    "ProposalService/ListProposals": proposal_service_pb2.ListProposalsRequest(parent=PARENT),
    "AuditService/ListAuditRecords": audit_service_pb2.ListAuditRecordsRequest(parent=PARENT),
}
AFTER = {
    "ReviewService/ListNotifiers": b"n-1",
    "ModelService/ListModels": b"a" * 64,
    "AuditService/ListAuditRecords": b"0-" + b"a" * 64,
}
"""An item after which a page may go on; elsewhere a number."""
REFUSED = "page_token: must be the next_page_token of the page before, with all else but page_size as in that request"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_server(tmp_path_factory.mktemp("pages")) as running, running.client() as client:
        for number in range(3):
            client.append_entries(MARKET, [identity(f"i{number}", "s")])
        yield running


def body_of(method: str, cut: Cut) -> bytes:
    return struct.pack(">qqq", cut.observe_time, cut.known_time, cut.sequence) + AFTER.get(method, b"1")


def forged(request: Message, body: bytes) -> str:
    text = request.DESCRIPTOR.full_name.encode() + request.SerializeToString(deterministic=True)
    bound = text + b"\0local\0*\0" + body
    return base64.urlsafe_b64encode(sha256(bound).digest()[:12] + body).decode()


def sound_cut(running: Running, method: str) -> Cut:
    return Cut(0, 0, 0) if method.startswith(("Model", "Policy", "Proposal", "Audit")) else running.ledger.cut()


def with_token(request: Message, token: str) -> Any:
    copy: Any = type(request)()
    copy.CopyFrom(request)
    copy.page_token = token
    return copy


def answer(running: Running, method: str, request: Message) -> str:
    with grpc.insecure_channel(running.address) as channel:
        try:
            channel.unary_unary(f"/sellertrust.v1.{method}")(request.SerializeToString(), timeout=60)
        except grpc.RpcError as error:
            found = SellertrustCallError.of(error)
            is_token = found.code is grpc.StatusCode.INVALID_ARGUMENT and [name for name, _ in found.fields] == [
                "page_token"
            ]
            return found.message if is_token else found.reason
    return ""


def changed(request: Message, field: FieldDescriptor) -> Message:
    copy = type(request)()
    copy.CopyFrom(request)
    if field.message_type is not None:
        getattr(copy, field.name).seconds = 1
    elif field.is_repeated:
        getattr(copy, field.name).append(1)
    else:
        kinds = {FieldDescriptor.CPPTYPE_STRING: "marketplaces/other", FieldDescriptor.CPPTYPE_BOOL: True}
        setattr(copy, field.name, kinds.get(field.cpp_type, 1))
    return copy


def test_every_list_of_the_contract_is_looked_at_here() -> None:
    find = descriptor_pool.Default().FindMethodByName
    inputs = {name: find(f"sellertrust.v1.{name.replace('/', '.')}").input_type for name in METHODS}
    pages = {name for name, kind in inputs.items() if "page_token" in kind.fields_by_name}
    assert pages == LISTS.keys()


@pytest.mark.parametrize("method", LISTS)
def test_a_token_fits_its_request_in_pages_of_any_size(running: Running, method: str) -> None:
    request = with_token(LISTS[method], forged(LISTS[method], body_of(method, sound_cut(running, method))))
    for request.page_size in (0, 1, 3):
        assert answer(running, method, request) in {"", "MODEL_NOT_FOUND"}


@pytest.mark.parametrize("method", LISTS)
def test_a_token_is_refused_beside_other_parameters(running: Running, method: str) -> None:
    request = LISTS[method]
    token = forged(request, body_of(method, sound_cut(running, method)))
    others = [changed(request, f) for f in request.DESCRIPTOR.fields if f.name not in {"page_size", "page_token"}]
    for other in others:
        assert answer(running, method, with_token(other, token)) == REFUSED, str(other)


@pytest.mark.parametrize("method", LISTS)
def test_a_token_of_another_list_is_refused(running: Running, method: str) -> None:
    for other in LISTS.keys() - {method}:
        token = forged(LISTS[other], body_of(other, sound_cut(running, other)))
        assert answer(running, method, with_token(LISTS[method], token)) == REFUSED, other


@pytest.mark.parametrize("method", LISTS)
def test_a_token_that_was_tampered_with_is_refused(running: Running, method: str) -> None:
    token = forged(LISTS[method], body_of(method, sound_cut(running, method)))
    data = base64.urlsafe_b64decode(token)
    flipped = [data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :] for n in range(0, len(data), 3)]
    texts = [base64.urlsafe_b64encode(one).decode() for one in (*flipped, data[:-1], data + b"0", data[:12], b"short")]
    for text in (*texts, token[:-4], token + "A", "\u00e9 no token", "x"):
        assert answer(running, method, with_token(LISTS[method], text)) == REFUSED, text


@pytest.mark.parametrize("method", LISTS)
def test_a_cut_that_was_never_given_is_refused(running: Running, method: str) -> None:
    cut = sound_cut(running, method)
    cuts = [
        replace(cut, observe_time=cut.observe_time + DAY),
        replace(cut, known_time=cut.known_time + DAY),
        replace(cut, sequence=cut.sequence + 1),
        replace(cut, sequence=cut.sequence - 1),
        Cut(-1, 0, 0),
        Cut(0, -(2**63), 0),
        Cut(2**63 - 1, 0, 0),
        Cut(0, 2**63 - 1, 0),
        Cut(1, 1, -1),
        Cut(1, 1, 1),
    ]
    for wrong in cuts:
        token = forged(LISTS[method], body_of(method, wrong))
        assert answer(running, method, with_token(LISTS[method], token)) == REFUSED, wrong


@pytest.mark.parametrize("method", LISTS)
def test_a_position_of_no_list_is_refused(running: Running, method: str) -> None:
    head = body_of(method, sound_cut(running, method))[:24]
    for after in (b"", b"\xff\xfe", b"9" * 5_000, b"a\0b", "\u0661".encode(), b" "):
        token = forged(LISTS[method], head + after)
        assert answer(running, method, with_token(LISTS[method], token)) == REFUSED, after


def test_pages_keep_the_cut_of_the_first(running: Running) -> None:
    with Client(running.address) as client:
        entries = client.list_entries(MARKET, page_size=1)
        seen = [next(entries).entry_id]
        client.append_entries(MARKET, [identity("later", "s")])
        assert [*seen, *(entry.entry_id for entry in entries)] == ["i0", "i1", "i2"]
    cut = running.ledger.cut()
    reads = Reads(running.ledger, running.tail)
    assert reads.can_be_own(replace(cut, observe_time=cut.observe_time + SECOND // 2))
