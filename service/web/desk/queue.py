import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from starlette.responses import Response

from scoring.base.enums import AUTHORITIES, Source
from sellertrust.names import marketplace_name
from sellertrust.requests import invoke
from sellertrust.scores import TrustScore
from sellertrust.v1.entry_pb2 import CATEGORY_SAFETY, VIOLATION_STATUS_APPEALED, Category, Entry
from sellertrust.v1.ledger_service_pb2 import Violation
from sellertrust.v1.review_service_pb2 import ListReviewQueueRequest, ListReviewQueueResponse, OpenCase, QueueItem
from sellertrust.v1.review_service_pb2_grpc import ReviewServiceStub
from service.web.desk.calls import READ_SECONDS, start_call
from service.web.desk.journal import QUEUE_SECONDS, CaseTaken, DeskCase, Journal
from service.web.frame.rendering import last, redirect, time_of
from service.web.frame.visits import Problem, Visit, Visitor
from service.web.recent import Recent

FRESH_SECONDS = 30.0
"""An older queue is shown while it is read again."""
OLD_SECONDS = 110.0
"""An older queue is never shown."""
FIRST_SECONDS = 120.0
WAIT_SECONDS = 2.0
MAX_CASES = 1_000
MAX_PARTS = 40
MAX_READINGS = 200
"""Two of a person: the most urgent cases, and a later part."""
MAX_DECIDED = 5_000


class QueueRow(NamedTuple):
    violation: Violation
    id: str
    seller: str
    category: str
    deadline: datetime | None
    held_back: bool


class Queue(NamedTuple):
    made: float
    first_page: ListReviewQueueResponse
    rows: Sequence[QueueRow]
    complaints: Sequence[Entry]
    """Without those that the desk decided since."""
    score: TrustScore | None
    """It shows the service's time and the freshness of answers."""

    def has_all_complaints(self) -> bool:
        return len(self.first_page.complaints) < MAX_CASES

    def now(self) -> datetime:
        """Return the present by the service's clock, as `score` showed it; without a score by this machine's."""
        if self.score is None:
            return datetime.now(UTC)
        return time_of(self.score.stamp.observe_time) + timedelta(seconds=time.monotonic() - self.made)


class _Reading(NamedTuple):
    part: int
    kept: Queue | None = None
    call: Future[Queue] | None = None


class QueuePages:
    def __init__(self, marketplace: str, journal: Journal) -> None:
        self._marketplace = marketplace
        self._journal = journal
        self._readings: Recent[tuple[str, bool], _Reading] = Recent(MAX_READINGS)
        """By person, and whether it is a later part: a queue shows what its reader may see."""
        self._decided_complaints: Recent[str, tuple[str, float]] = Recent(MAX_DECIDED)
        """By complaint: the id of its decision here, and when."""
        self._lock = threading.Lock()

    def show(self, visit: Visit) -> Response:
        """Show a page of the waiting cases, as the address filters and sorts them."""
        part_text = visit.query_value("part")
        part = min(int(part_text), MAX_PARTS) if re.fullmatch("[0-9]{1,2}", part_text) else 0
        queue, rows = self.rows(visit.visitor, part)
        chosen = [row for row in rows if self._matches_query(visit, row)]
        if visit.query_value("sort") == "reported":
            chosen.sort(key=lambda row: time_of(row.violation.record_time))
        rows_on_page, following, first = visit.cut_page(chosen)
        seller = visit.query_value("seller")
        lists: dict[str, Sequence[OpenCase | Entry]] = {
            "cautions": queue.first_page.cases,
            "complaints": queue.complaints,
        }
        return visit.page(
            "queue.html",
            lists={
                name: visit.cut_page([one for one in rows if seller in ("", last(one.seller))], name)
                for name, rows in lists.items()
            },
            rows=[(row, self._journal.case(row.id)) for row in rows_on_page],
            count=len(chosen),
            queue=queue,
            next=following,
            first=first,
            most=MAX_CASES,
            part=part,
            categories=sorted({row.category for row in rows}),
            asked={name: visit.query_value(name) for name in ("category", "seller", "who", "sort", *lists)},
        )

    def take_next(self, visit: Visit) -> Response:
        row = self.claim_next(visit.visitor)
        return redirect("/queue?done=1") if row is None else redirect(f"/cases/{row.id}")

    def claim_next(self, visitor: Visitor) -> QueueRow | None:
        """Claim and return the first case that the visitor may work on, else None."""
        decided = {
            decision.violation for decision in self._journal.list_decisions(visitor.actor) if decision.state == "sent"
        }
        for row in self.rows(visitor)[1]:
            case = self._journal.case(row.id)
            if case.claimed_by not in ("", visitor.actor) or case.waiting:
                continue
            if row.violation.status == VIOLATION_STATUS_APPEALED and row.id in decided:
                continue
            if visitor.actor in case.votes:
                continue
            try:
                self._journal.claim(row.id, visitor.actor)
            except CaseTaken:
                continue
            return row
        return None

    def rows(self, visitor: Visitor, part: int = 0) -> tuple[Queue, list[QueueRow]]:
        """Return the queue as last read, and rows for its violations that nobody decided since.

        `part`: 0 has the MAX_CASES most urgent cases, 1 the next.
        """
        queue, decided = self.read(visitor, part), self._journal.list_decided_lately()
        return queue, [row for row in queue.rows if row.id not in decided]

    def _matches_query(self, visit: Visit, row: QueueRow) -> bool:
        state = visit.query_value("who")
        return (
            visit.query_value("category") in ("", row.category)
            and visit.query_value("seller") in ("", row.seller)
            and (not state or _is_of_state(state, self._journal.case(row.id), visit.visitor.actor))
        )

    def note_complaint(self, complaint: str, decision_id: str) -> None:
        self._decided_complaints.put(complaint, (decision_id, time.monotonic()))

    def is_decided_by(self, complaint: str, decision_id: str) -> bool:
        """Return whether this desk sent this decision about the complaint lately."""
        return self._decided_complaints.get(complaint, ("", 0.0))[0] == decision_id

    def read(self, visitor: Visitor, part: int = 0) -> Queue:
        """Return the visitor's queue, at most OLD_SECONDS old, without complaints that were decided here since."""
        queue, since = self._read_or_remember(visitor, part), time.monotonic() - QUEUE_SECONDS
        decided_lately = {
            complaint for complaint, (_, decided) in self._decided_complaints.copy().items() if decided > since
        }
        return queue._replace(
            complaints=[complaint for complaint in queue.complaints if complaint.entry_id not in decided_lately]
        )

    def _read_or_remember(self, visitor: Visitor, part: int) -> Queue:
        """Return the remembered queue; if it is not fresh, let another thread read it again."""
        key, now = (visitor.person, part > 0), time.monotonic()
        with self._lock:
            last_part, queue, call = self._readings.get(key, _Reading(part))
            if last_part != part and call is not None and not call.done():
                raise _being_read_problem()
            if last_part != part:
                queue = call = None
            if call is not None and call.done() and call.exception() is None:
                queue = call.result()
            if call is None or call.done():
                is_fresh = queue is not None and now - queue.made < FRESH_SECONDS
                call = None if is_fresh else start_call(lambda: self._read_from_service(visitor, part))
            self._readings.put(key, _Reading(part, queue, call))
        if queue is not None and now - queue.made < OLD_SECONDS:
            return queue
        assert call is not None  # noqa: S101 without a queue it is being read
        try:
            return call.result(WAIT_SECONDS)
        except TimeoutError:
            raise _being_read_problem() from None

    def _read_from_service(self, visitor: Visitor, part: int) -> Queue:
        read_time, stub = time.monotonic(), ReviewServiceStub(visitor.client.channel)
        request = ListReviewQueueRequest(parent=marketplace_name(self._marketplace), page_size=MAX_CASES)
        answer = invoke(stub.ListReviewQueue, request, FIRST_SECONDS)
        for _ in range(part):
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
            answer = invoke(stub.ListReviewQueue, request, FIRST_SECONDS)
        sellers = [item.violation.seller for item in answer.items if item.violation.seller]
        score = None
        if sellers:
            seller = last(sellers[0])
            score = visitor.client.get_trust_score(self._marketplace, seller, deadline_seconds=READ_SECONDS)
        return Queue(read_time, answer, [_make_row(item) for item in answer.items], answer.complaints, score)


def _being_read_problem() -> Problem:
    return Problem(503, "The queue is being read", "Open this page again in a moment.")


def deadline_of(violation: Violation) -> datetime | None:
    """Return when a report of safety must be handled, None for others.

    An authority's order has two working days, a notice three: Regulation (EU) 2023/988, article 22. They run from the
    record time to the same time of day, in UTC. Public holidays count as working days here, weekends do not.
    """
    if violation.category != CATEGORY_SAFETY:
        return None
    days = 2 if Source(violation.source) in AUTHORITIES else 3
    time = time_of(violation.record_time)
    while days:
        time += timedelta(days=1)
        days -= time.weekday() < 5
    return time


def _make_row(item: QueueItem) -> QueueRow:
    violation = item.violation
    name, seller, category = last(violation.name), last(violation.seller), Category.Name(violation.category)
    return QueueRow(violation, name, seller, category, deadline_of(violation), item.held_back)


def _is_of_state(state: str, case: DeskCase, actor: str) -> bool:
    return {
        "mine": case.claimed_by == actor,
        "free": not (case.claimed_by or case.waiting),
        "waiting": bool(case.waiting),
    }.get(state, True)
