import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from starlette.responses import Response

from scoring.base.enums import AUTHORITIES, Source
from sellertrust.scores import TrustScore
from sellertrust.v1.entry_pb2 import CATEGORY_SAFETY, VIOLATION_STATUS_APPEALED, Category, Entry, ViolationStatus
from sellertrust.v1.ledger_service_pb2 import Violation
from sellertrust.v1.review_service_pb2 import ListReviewQueueResponse, QueueItem
from service.web.desk.calls import start
from service.web.desk.journal import Journal, Taken
from service.web.frame.rendering import last, redirect, time_of
from service.web.frame.visits import Problem, Visit, Visitor

FRESH_SECONDS = 10.0
"""An older queue is shown while it is read again."""
OLD_SECONDS = 110.0
"""An older queue is never shown."""
MOST = 1_000
PAGE = 30
QUEUE_CALL_SECONDS = 15.0
MAX_READERS = 100


class Row(NamedTuple):
    violation: Violation
    id: str
    seller: str
    category: str
    status: str
    deadline: datetime | None
    claimed_by: str
    waiting: str
    held_back: bool


class Queue(NamedTuple):
    made: float
    items: Sequence[QueueItem]
    first_page: ListReviewQueueResponse
    """Its cautions' cases and complaints."""
    score: TrustScore | None
    """A score that shows the freshness of answers and the service's time (a demo's clock stands still)."""

    def now(self) -> datetime:
        if self.score is None:
            return datetime.now(UTC)
        return time_of(self.score.stamp.observe_time) + timedelta(seconds=time.monotonic() - self.made)


class Summary(NamedTuple):
    violations: int
    open_cases: int
    overdue_cases: int
    complaints: int
    score: TrustScore | None


class QueuePages:
    def __init__(self, marketplace: str, journal: Journal) -> None:
        self._marketplace = marketplace
        self._journal = journal
        self._kept: OrderedDict[str, tuple[Queue | None, Future[Queue] | None]] = OrderedDict()
        """By person: a queue shows what its reader may see."""
        self._lock = threading.Lock()

    def show(self, visit: Visit) -> Response:
        queue, rows = self._rows(visit.visitor)
        chosen = [row for row in rows if _is_asked(visit, row)]
        if visit.query_value("sort") == "reported":
            chosen.sort(key=lambda row: time_of(row.violation.record_time))
        page = int(visit.query_value("page")) if visit.query_value("page").isdecimal() else 1
        shown = chosen[(page - 1) * PAGE : page * PAGE]
        return visit.page(
            "queue.html",
            rows=shown,
            count=len(chosen),
            now=queue.now(),
            page_number=page,
            next=_address(visit, page + 1) if len(chosen) > page * PAGE else "",
            first=_address(visit, 1) if page > 1 else "",
            has_more=len(queue.items) == MOST,
            most=MOST,
            cases=queue.first_page.cases[:20],
            open_cases=queue.first_page.open_cases,
            complaints=queue.first_page.complaints[:20],
            open_complaints=len(queue.first_page.complaints),
            categories=sorted({row.category for row in rows}),
            asked={name: visit.query_value(name) for name in ("category", "seller", "who", "sort")},
        )

    def take_next(self, visit: Visit) -> Response:
        row = self.claim_next(visit.visitor)
        return redirect("/queue?done=1") if row is None else redirect(f"/cases/{row.id}")

    def claim_next(self, visitor: Visitor) -> Row | None:
        """Claim and return the first case that the visitor may work on, else None."""
        own = {one.violation for one in self._journal.list_decisions(visitor.actor) if one.state == "sent"}
        for row in self._rows(visitor)[1]:
            if row.claimed_by not in ("", visitor.actor) or row.waiting:
                continue
            if row.violation.status == VIOLATION_STATUS_APPEALED and row.id in own:
                continue
            if visitor.actor in self._journal.case(row.id).votes:
                continue
            try:
                self._journal.claim(row.id, visitor.actor)
            except Taken:
                continue
            return row
        return None

    def count_left(self, visitor: Visitor) -> int:
        """Return the number of undecided violations, at most MOST."""
        return len(self._rows(visitor)[1])

    def list_linked(self, visitor: Visitor, seller: str, violation: str) -> list[Row]:
        """Return the seller's other undecided violations."""
        return [row for row in self._rows(visitor)[1] if row.seller == seller and row.id != violation]

    def summary(self, visitor: Visitor) -> Summary:
        queue, rows = self._rows(visitor)
        page = queue.first_page
        return Summary(len(rows), page.open_cases, page.overdue_cases, len(page.complaints), queue.score)

    def complaints(self, visitor: Visitor) -> Sequence[Entry]:
        """Return the first 1,000 undecided complaints."""
        return self._queue(visitor).first_page.complaints

    def now(self, visitor: Visitor) -> datetime:
        return self._queue(visitor).now()

    def _rows(self, visitor: Visitor) -> tuple[Queue, list[Row]]:
        queue, decided = self._queue(visitor), self._journal.decided()
        rows = []
        for item in queue.items:
            name = last(item.violation.name)
            if name not in decided:
                case = self._journal.case(name)
                rows.append(
                    Row(
                        item.violation,
                        name,
                        last(item.violation.seller),
                        Category.Name(item.violation.category),
                        ViolationStatus.Name(item.violation.status),
                        deadline_of(item.violation),
                        case.claimed_by,
                        case.waiting,
                        item.held_back,
                    )
                )
        return queue, rows

    def _queue(self, visitor: Visitor) -> Queue:
        key, now = visitor.person, time.monotonic()
        with self._lock:
            kept, reading = self._kept.pop(key, (None, None))
            if reading is not None and reading.done() and reading.exception() is None:
                kept = reading.result()
            if reading is None or reading.done():
                is_fresh = kept is not None and now - kept.made < FRESH_SECONDS
                reading = None if is_fresh else start(lambda: self._read(visitor))
            self._kept[key] = kept, reading
            if len(self._kept) > MAX_READERS:
                self._kept.popitem(last=False)
        if kept is not None and now - kept.made < OLD_SECONDS:
            return kept
        assert reading is not None  # noqa: S101 without a queue it is being read
        return reading.result()

    def _read(self, visitor: Visitor) -> Queue:
        made, review = time.monotonic(), visitor.client
        found = review.list_review_queue(self._marketplace, page_size=MOST, deadline_seconds=QUEUE_CALL_SECONDS)
        items = list(islice(found, MOST))
        first_page = review.list_cases(self._marketplace, deadline_seconds=QUEUE_CALL_SECONDS)
        sellers = [item.violation.seller for item in items if item.violation.seller]
        score = None
        if sellers:
            seller = last(sellers[0])
            score = visitor.client.get_trust_score(self._marketplace, seller, deadline_seconds=QUEUE_CALL_SECONDS)
        return Queue(made, items, first_page, score)


def deadline_of(violation: Violation) -> datetime | None:
    """Return when a report of safety must be handled, None for others.

    An authority's order has two working days, a notice three: Regulation (EU) 2023/988, article 22. Public holidays
    count as working days here, weekends do not.
    """
    if violation.category != CATEGORY_SAFETY:
        return None
    left = 2 if Source(violation.source) in AUTHORITIES else 3
    time = time_of(violation.record_time)
    while left:
        time += timedelta(days=1)
        left -= time.weekday() < 5
    return time


def _is_asked(visit: Visit, row: Row) -> bool:
    who = visit.query_value("who")
    return (
        visit.query_value("category") in ("", row.category)
        and visit.query_value("seller") in ("", row.seller)
        and (who != "mine" or row.claimed_by == visit.visitor.actor)
        and (who != "free" or not (row.claimed_by or row.waiting))
        and (who != "waiting" or bool(row.waiting))
    )


def _address(visit: Visit, page: int) -> str:
    return f"/queue?{visit.request.url.include_query_params(page=page).query}"


def not_yours(taken: Taken) -> Problem:
    return Problem(409, "This case is not yours to decide now", f"{taken.text}. Take the next case from the queue.")
