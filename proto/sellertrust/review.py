"""The client of ReviewService: notifiers, the review queue, and bulk decisions.

with Client("trust.example:50051") as client:
    for item in client.list_review_queue("acme"):
        print(item.violation.name, item.priority)
"""

import uuid
from collections.abc import Iterable, Iterator
from typing import Any, TypedDict, Unpack

from sellertrust.names import marketplace_name, notifier_name, seller_name
from sellertrust.requests import Time, bounds, invoke, pages, times
from sellertrust.stubs import Stubs
from sellertrust.v1 import entry_pb2
from sellertrust.v1.review_service_pb2 import (
    DecideViolationsRequest,
    DecideViolationsResponse,
    GetNotifierRequest,
    GetTransparencyReportRequest,
    GetTransparencyReportResponse,
    ListNotifiersRequest,
    ListReviewQueueRequest,
    ListReviewQueueResponse,
    Notifier,
    QueueItem,
)

REVIEW_SECONDS = 10.0
"""The queue is sorted for each page; people wait for that, no checkout does."""

DECIDE_SECONDS = 60.0
"""For up to 10,000 decisions."""

REPORT_SECONDS = 300.0
"""A report reads a whole period."""


class BulkDecision(TypedDict, total=False):
    ground: str
    decision_id: str | None
    """Makes a repeated call safe; by default one is made."""
    violation_types: Iterable[str]
    notifier: str
    seller: str
    statuses: Iterable[entry_pb2.ViolationStatus.ValueType]
    reported_from: Time | None
    reported_before: Time | None
    listing: str
    right: str
    sample_fraction: float
    execute: bool
    expected_count: int
    etag: str
    proposal: str
    """Names the approved proposal of exactly this request (`decide_request`), if the server requires one."""
    reverses: str
    """Selects only what the bulk decision with this id changed."""


class Reviews(Stubs):
    def get_notifier(
        self,
        marketplace: str,
        notifier: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        deadline_seconds: float = REVIEW_SECONDS,
    ) -> Notifier:
        """Return a notifier's record and reliability. Raises SellertrustCallError without a report."""
        request = GetNotifierRequest(name=notifier_name(marketplace, notifier), **bounds(observe_time, known_time))
        return invoke(self._reviews.GetNotifier, request, deadline_seconds).notifier

    def list_notifiers(
        self,
        marketplace: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        page_size: int = 100,
        deadline_seconds: float = REVIEW_SECONDS,
    ) -> Iterator[Notifier]:
        """Yield a marketplace's notifiers in the order of their ids, page by page, all as of the first page."""
        request = ListNotifiersRequest(
            parent=marketplace_name(marketplace), page_size=page_size, **bounds(observe_time, known_time)
        )
        yield from pages(self._reviews.ListNotifiers, request, "notifiers", deadline_seconds)

    def list_review_queue(
        self,
        marketplace: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        page_size: int = 100,
        deadline_seconds: float = REVIEW_SECONDS,
    ) -> Iterator[QueueItem]:
        """Yield the open violations, the most urgent first, page by page, all as of the first page."""
        request = ListReviewQueueRequest(
            parent=marketplace_name(marketplace), page_size=page_size, **bounds(observe_time, known_time)
        )
        yield from pages(self._reviews.ListReviewQueue, request, "items", deadline_seconds)

    def list_cases(self, marketplace: str, *, deadline_seconds: float = REVIEW_SECONDS) -> ListReviewQueueResponse:
        """Return the undecided cases of cautions, at most 1,000, earliest deadline first, in `cases`.

        `open_cases` and `overdue_cases` count all. `complaints` holds the first 1,000 undecided complaints.
        """
        request = ListReviewQueueRequest(parent=marketplace_name(marketplace), page_size=1)
        return invoke(self._reviews.ListReviewQueue, request, deadline_seconds)

    def decide_violations(
        self,
        marketplace: str,
        action: entry_pb2.Action.ValueType,
        *,
        actor: str,
        reason: str,
        deadline_seconds: float = DECIDE_SECONDS,
        **fields: Unpack[BulkDecision],
    ) -> DecideViolationsResponse:
        """Take one action on every selected violation except a held-back sample.

        A dry run unless `execute`. To execute takes a `decision_id` and the dry run's `count` and `etag`. A call decides
        at most 10,000: call again with the same arguments while `remaining` is above 0. Raises ValueError if `execute`
        has no `decision_id`.
        """
        request = decide_request(marketplace, action, actor=actor, reason=reason, **fields)
        return self.decide(request, deadline_seconds=deadline_seconds)

    def decide(
        self, request: DecideViolationsRequest, *, deadline_seconds: float = DECIDE_SECONDS
    ) -> DecideViolationsResponse:
        return invoke(self._reviews.DecideViolations, request, deadline_seconds)

    def get_transparency_report(
        self, marketplace: str, period: str, *, deadline_seconds: float = REPORT_SECONDS
    ) -> GetTransparencyReportResponse:
        """Return the figures of the public report about a year (`2026`) or a month (`2026-03`)."""
        request = GetTransparencyReportRequest(parent=marketplace_name(marketplace), period=period)
        return invoke(self._reviews.GetTransparencyReport, request, deadline_seconds)


def decide_request(
    marketplace: str, action: entry_pb2.Action.ValueType, *, actor: str, reason: str, **fields: Unpack[BulkDecision]
) -> DecideViolationsRequest:
    """Return the request of `Client.decide_violations` by its arguments, for example to propose it.

    ValueError for `execute` without `decision_id`.
    """
    if fields.get("execute") and not fields.get("decision_id"):
        raise ValueError("decision_id is required to execute: it makes a call again safe")
    values: dict[str, Any] = {"actor": actor, "reason": reason, **fields}
    seller = values.pop("seller", "")
    period = times(**{name: values.pop(name, None) for name in ("reported_from", "reported_before")})
    request = DecideViolationsRequest(parent=marketplace_name(marketplace), action=action, **values, **period)
    request.decision_id = request.decision_id or uuid.uuid4().hex
    request.seller = seller_name(marketplace, seller) if seller else ""
    return request
