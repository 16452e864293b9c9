"""ReviewService: notifiers, the review queue, and bulk decisions, as functions from request to response."""

import re

from scoring.entries.field_types import is_id
from scoring.errors import NotifierNotFound
from scoring.time import format_time
from sellertrust.v1 import review_service_pb2 as review_pb
from service.contract.resource_names import parse_marketplace, parse_notifier
from service.contract.review import (
    cut_of,
    decision_of,
    notifier_message,
    outcome_message,
    page_of,
    queue_messages,
    token_of,
)
from service.ledger.store import Ledger
from service.review.bulk_decisions import dry_run, execute
from service.review.reliability import assess
from service.review.review_queue import review_queue

REVIEW_WRITES = ("DecideViolations",)
"""The methods of ReviewService that append."""


def _is_place(text: str) -> bool:
    """Whether it is a place in the queue: how many items are before it."""
    return re.fullmatch("[0-9]{1,9}", text) is not None


class ReviewServicer:
    """ReviewService."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def GetNotifier(self, request: review_pb.GetNotifierRequest) -> review_pb.GetNotifierResponse:
        marketplace, notifier = parse_notifier(request.name, "name")
        cut = cut_of(self._ledger, request)
        found = self._ledger.notifier_records(marketplace, cut, [notifier]).get(notifier)
        if found is None:
            text = f"nothing that this notifier reported was recorded by {format_time(cut.known_time)}; check its id"
            raise NotifierNotFound(text, {"notifier": request.name})
        return review_pb.GetNotifierResponse(notifier=notifier_message(marketplace, notifier, assess(found)))

    def ListNotifiers(self, request: review_pb.ListNotifiersRequest) -> review_pb.ListNotifiersResponse:
        marketplace = parse_marketplace(request.parent, "parent")
        cut, after, limit = page_of(self._ledger, request, is_id)
        names = self._ledger.notifiers(marketplace, after, limit + 1)
        found = self._ledger.notifier_records(marketplace, cut, names[:limit])
        return review_pb.ListNotifiersResponse(
            notifiers=[notifier_message(marketplace, name, assess(found[name])) for name in names if name in found],
            next_page_token=token_of(request, cut, names[limit - 1]) if len(names) > limit else "",
        )

    def ListReviewQueue(self, request: review_pb.ListReviewQueueRequest) -> review_pb.ListReviewQueueResponse:
        marketplace = parse_marketplace(request.parent, "parent")
        cut, after, limit = page_of(self._ledger, request, _is_place)
        items, is_truncated = review_queue(self._ledger, marketplace, cut)
        begin = int(after or 0)
        end = begin + limit
        views = self._ledger.named_violations(marketplace, [item.violation for item in items[begin:end]], cut)
        return review_pb.ListReviewQueueResponse(
            items=queue_messages(marketplace, items[begin:end], views),
            next_page_token=token_of(request, cut, str(end)) if end < len(items) else "",
            truncated=is_truncated,
        )

    def DecideViolations(self, request: review_pb.DecideViolationsRequest) -> review_pb.DecideViolationsResponse:
        marketplace = parse_marketplace(request.parent, "parent")
        decision = decision_of(marketplace, request)
        if request.execute:
            outcome = execute(self._ledger, marketplace, decision, request.expected_count, request.etag)
        else:
            outcome = dry_run(self._ledger, marketplace, decision)
        return outcome_message(marketplace, outcome)
