from collections.abc import Mapping, Sequence
from typing import cast

from scoring.base.enums import Action, Status
from scoring.base.errors import FieldViolation
from scoring.caution.cautions import Caution
from sellertrust.names import notifier_name, seller_name, violation_name
from sellertrust.v1 import review_service_pb2
from service.contract.fields import FieldErrors, message_of, optional_time
from service.contract.resource_names import seller_of
from service.contract.violations import statuses_of, violation_message
from service.ledger.queries.cases import OpenCase
from service.ledger.queries.violations import Selection
from service.ledger.records import ViolationView
from service.review.bulk_decisions import SAMPLE_FRACTION, BulkDecisionCall, BulkOutcome, prefix_of_id
from service.review.priority import QueueItem
from service.review.reliability import Assessment

EXAMPLES = 100


def notifier_message(marketplace: str, notifier: str, assessment: Assessment) -> review_service_pb2.Notifier:
    """Return a notifier's record; its reliability (0 to 1) is unset if unknown."""
    reliability = assessment.reliability
    message = message_of(
        review_service_pb2.Notifier,
        assessment,
        assessment.record,
        name=notifier_name(marketplace, notifier),
        reliability=None,
    )
    if reliability is not None:
        message.reliability = reliability.mean
        message.reliability_low, message.reliability_high = reliability.low, reliability.high
        message.prior_reliability = reliability.prior
    return message


def queue_messages(
    marketplace: str,
    items: list[QueueItem],
    views: Mapping[str, ViolationView],
    cautions: Mapping[str, Sequence[Caution]],
) -> list[review_service_pb2.QueueItem]:
    """Return a page of the review queue, in order.

    Leaves out items without a view in `views`: they are no violation as of the page's cut. `cautions`: in force, by
    seller.
    """
    first_due: dict[str, Caution] = {}
    all_cautions = [caution for of_seller in cautions.values() for caution in of_seller]
    for caution in sorted(all_cautions, key=lambda caution: caution.decide_by):
        for entry in caution.entries:
            first_due.setdefault(entry, caution)
    return [
        message_of(
            review_service_pb2.QueueItem,
            item,
            first_due.get(item.violation),
            violation=violation_message(marketplace, views[item.violation]),
            safety_first=item.is_safety,
        )
        for item in items
        if item.violation in views
    ]


def case_messages(marketplace: str, cases: Sequence[OpenCase], now: int) -> list[review_service_pb2.OpenCase]:
    """Return open cases, in order; a case is overdue from its deadline on. `now`: in microseconds."""
    return [
        message_of(
            review_service_pb2.OpenCase,
            case,
            seller=seller_name(marketplace, case.seller),
            open_time=case.opened_time,
            overdue=case.decide_by <= now,
            entries=case.rests_on,
        )
        for case in cases
    ]


def decision_of(marketplace: str, request: review_service_pb2.DecideViolationsRequest) -> BulkDecisionCall:
    """Convert a request into a bulk decision.

    Raises InvalidInput for unconvertible fields, and for `expected_count` and `etag` if missing or unexpected;
    `bulk_decisions.check_call` validates the rest.
    """
    wrong = FieldErrors()
    seller: str | None = ""
    if request.seller:
        seller = wrong.convert(seller_of, request.seller, marketplace, "seller")
    since = wrong.convert(optional_time, request, "reported_from")
    before = wrong.convert(optional_time, request, "reported_before")
    statuses = wrong.convert(statuses_of, request.statuses)
    for name in ("expected_count", "etag"):
        if getattr(request, name) and not request.execute:
            wrong.fields.append(FieldViolation((name,), "must be empty in a dry run; set execute to decide"))
    if request.execute and request.expected_count <= 0:
        wrong.fields.append(FieldViolation(("expected_count",), "is required to execute: the count of the dry run"))
    if request.execute and not request.etag:
        wrong.fields.append(FieldViolation(("etag",), "is required to execute: the etag of the dry run"))
    wrong.raise_if_any()
    return BulkDecisionCall(
        decision_id=request.decision_id,
        action=_convert_action(request.action),
        actor=request.actor,
        reason=request.reason,
        ground=request.ground,
        selection=Selection(
            violation_types=tuple(request.violation_types),
            notifier=request.notifier,
            seller=seller or "",
            reported_from=since,
            reported_before=before,
            listing=request.listing,
            right=request.right,
            changed_by=prefix_of_id(request.reverses) if request.reverses else "",
        ),
        statuses=cast(tuple[Status, ...], statuses),
        sample_fraction=request.sample_fraction or SAMPLE_FRACTION,
    )


def _convert_action(number: int) -> Action:
    return Action(number) if number in Action.__members__.values() else cast(Action, number)


def outcome_message(marketplace: str, outcome: BulkOutcome) -> review_service_pb2.DecideViolationsResponse:
    """Return a bulk decision's counts, and at most EXAMPLES of its violations."""
    count = review_service_pb2.DecideViolationsResponse.StatusCount
    return message_of(
        review_service_pb2.DecideViolationsResponse,
        outcome,
        count=len(outcome.selected),
        statuses=[
            message_of(count, status=status, count=number) for status, number in sorted(outcome.by_status.items())
        ],
        held_back=[violation_name(marketplace, name) for name in outcome.held_back],
        examples=[violation_name(marketplace, name) for name in outcome.others[:EXAMPLES]],
        reached=outcome.reach,
        changed=[violation_name(marketplace, name) for name in outcome.changed],
    )
