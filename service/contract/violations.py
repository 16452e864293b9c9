from collections.abc import Sequence
from typing import cast

from google.protobuf.message import Message

from scoring.base.enums import Severity, Status
from scoring.base.errors import FieldViolation, InvalidInput
from sellertrust.names import seller_name, violation_name
from sellertrust.v1 import ledger_service_pb2
from service.contract.fields import message_of
from service.ledger.records import ViolationView


def statuses_of(numbers: Sequence[int]) -> tuple[Status, ...]:
    """Convert the statuses of a filter. Raises InvalidInput for unspecified or unknown ones."""
    statuses = Status.__members__.values()
    names = ", ".join(status.word for status in statuses)
    wrong = [
        FieldViolation(("statuses", index), f"must be one of {names}")
        for index, number in enumerate(numbers)
        if number not in statuses
    ]
    if wrong:
        raise InvalidInput(wrong)
    return tuple(Status(number) for number in numbers)


def severity_of(request: Message) -> Severity | None:
    """Return a decision's severity, None if unset; an unknown number as it is, for the checks to reject."""
    number = getattr(request, "severity", 0)
    if not number:
        return None
    return Severity(number) if number in Severity.__members__.values() else cast(Severity, number)


def violation_message(marketplace: str, view: ViolationView) -> ledger_service_pb2.Violation:
    """Return a violation; `seller` is empty for a report of a product."""
    return message_of(
        ledger_service_pb2.Violation,
        view,
        name=violation_name(marketplace, view.violation),
        seller=seller_name(marketplace, view.seller) if view.seller else "",
    )
