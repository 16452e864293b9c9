import pytest

from scoring.base.errors import InvalidInput
from sellertrust.v1 import entry_pb2, ledger_service_pb2, proposal_service_pb2
from service.contract.wire_size import find_batch_field_number, require_few_fields
from service.engine.wire import MAX_FIELDS

EMPTY = b"\x12\x00"
NESTED = find_batch_field_number(proposal_service_pb2.CreateProposalRequest.DESCRIPTOR)


def test_the_largest_batch_passes() -> None:
    batch = ledger_service_pb2.AppendEntriesRequest(
        parent="marketplaces/acme", entries=[entry_pb2.Entry(entry_id="e" * 100)] * 10_000
    )
    require_few_fields(batch.SerializeToString(), 0)
    proposal = proposal_service_pb2.CreateProposalRequest(actor="a", append_entries=batch)
    require_few_fields(proposal.SerializeToString(), NESTED)


@pytest.mark.parametrize("field", [EMPTY, b"\x08\x01", b"\x09" + b"x" * 8, b"\x0d" + b"x" * 4, b"\x80\x01\x01"])
def test_millions_of_fields_are_refused_whatever_they_are(field: bytes) -> None:
    with pytest.raises(InvalidInput, match="more than 10,000 entries"):
        require_few_fields(field * 100_000, 0)
    require_few_fields(field * 10_000, 0)


def test_a_batch_within_a_proposal_is_counted() -> None:
    assert NESTED
    part = ledger_service_pb2.AppendEntriesRequest(entries=[entry_pb2.Entry()] * (MAX_FIELDS // 2)).SerializeToString()
    once = proposal_service_pb2.CreateProposalRequest().SerializeToString()
    once += (
        bytes((NESTED << 3 | 2,))
        + bytes((len(part) & 0x7F | 0x80, len(part) >> 7 & 0x7F | 0x80, len(part) >> 14))
        + part
    )
    require_few_fields(once, NESTED)
    with pytest.raises(InvalidInput):
        require_few_fields(once * 3, NESTED)


def test_groups_are_too_many_fields() -> None:
    with pytest.raises(InvalidInput):
        require_few_fields(b"\x0b\x0c" * 100_000, NESTED)


@pytest.mark.parametrize("data", [b"", b"\xff" * 100_000, b"\x0c" * 100_000, EMPTY * 5 + b"\x12\xff"])
def test_what_is_no_message_is_left_to_parsing(data: bytes) -> None:
    require_few_fields(data, 0)
