import re
from enum import IntEnum
from pathlib import Path

import pytest
from google.protobuf.descriptor import EnumDescriptor
from google.rpc import code_pb2

from scoring.base import enums as words
from scoring.base import errors
from sellertrust.v1 import (
    answer_service_pb2,
    entry_pb2,
    errors_pb2,
    ledger_service_pb2,
    measure_service_pb2,
    model_service_pb2,
    review_service_pb2,
    trust_score_service_pb2,
)
from service.contract.statuses import CODES, code_of

ERRORS_PROTO = Path(__file__).parents[2] / "proto/sellertrust/v1/errors.proto"
FILES = (
    *(
        answer_service_pb2,
        entry_pb2,
        ledger_service_pb2,
        measure_service_pb2,
        model_service_pb2,
        review_service_pb2,
        trust_score_service_pb2,
    ),
)
ENUMS: dict[str, EnumDescriptor] = {
    name: enum for file in FILES for name, enum in file.DESCRIPTOR.enum_types_by_name.items()
}
WORDS: dict[str, type[IntEnum]] = {
    name: word
    for name, word in vars(words).items()
    if isinstance(word, type) and issubclass(word, IntEnum) and word not in (IntEnum, words.WordEnum)
}
NAMES = {"ViolationStatus": "Status"}
"""Names that are shorter in the core, which knows violations only."""


@pytest.mark.parametrize("name", ENUMS)
def test_every_enum_of_the_contract_is_a_word_with_its_numbers(name: str) -> None:
    enum, word = ENUMS[name], WORDS[NAMES.get(name, name)]
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name).lstrip("_") + "_"
    stated = {value.name.removeprefix(prefix): value.number for value in enum.values}
    assert stated.pop("UNSPECIFIED") == 0
    assert stated == {member.name: member.value for member in word}


def test_every_word_is_in_the_contract() -> None:
    assert {NAMES.get(name, name) for name in ENUMS} | {"Kind"} == set(WORDS)


def test_the_kinds_of_entries_are_the_contracts_in_order() -> None:
    facts = entry_pb2.Entry.DESCRIPTOR.oneofs_by_name["fact"].fields
    assert [field.name for field in facts] == [kind.word for kind in words.Kind]


def test_every_reason_is_in_the_contract_and_has_a_status() -> None:
    stated = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118 (no mapping)
    kinds: list[type[errors.SellertrustError]] = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and getattr(kind, "reason", "")
    ]
    assert {kind.reason for kind in kinds} == stated - {"UNSPECIFIED", "INTERNAL"}
    comments = re.findall(r"  // ([A-Z_]+):.*\n(?:  //.*\n)*  ERROR_REASON_(\w+) =", ERRORS_PROTO.read_text())
    code_of_reason = {reason: code for code, reason in comments}
    for kind in kinds:
        nearest = next(base for base in kind.__mro__ if base in CODES)
        assert code_of_reason[kind.reason] == code_pb2.Code.Name(CODES[nearest]), kind


def test_what_no_caller_can_cause_is_internal() -> None:
    assert code_of(errors.ConfigurationWrong("damaged")) == 13
    assert code_of(errors.SellerNotFound("nobody")) == 5
