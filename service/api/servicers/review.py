import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from scoring.answers.report_figures import Period, parse_period
from scoring.base.enums import CaseState
from scoring.base.errors import NotifierNotFound, TooManyCalls, invalid
from scoring.base.time import format_time
from scoring.caution.cautions import Caution
from scoring.entries.field_types import is_id
from sellertrust.v1 import review_service_pb2 as review_pb
from service.api.reads import Reads, is_number
from service.contract.entries import entry_message
from service.contract.resource_names import parse_marketplace, parse_notifier
from service.contract.review import case_messages, decision_of, notifier_message, outcome_message, queue_messages
from service.contract.transparency import report_message
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.review.bulk_decisions import dry_run, execute
from service.review.reliability import assess
from service.review.review_queue import review_queue
from service.scores.scorer import Scorer

MAX_CASES = 1_000
"""Open cases that are listed, earliest deadline first; and complaints."""


@dataclass(frozen=True)
class ReviewServicer:
    _ledger: Ledger
    _scorer: Scorer
    _reads: Reads
    _is_reporting: threading.Lock = field(default_factory=threading.Lock)
    """Held during a report, which reads a whole period: a thread of the pool stays free for the queue."""

    def GetNotifier(self, request: review_pb.GetNotifierRequest) -> review_pb.GetNotifierResponse:
        """Return how a notifier's reports turned out. Raises NotifierNotFound without a report by then."""
        marketplace, notifier = parse_notifier(request.name, "name")
        cut = self._reads.cut(request)
        record = self._ledger.notifiers.records(marketplace, cut, [notifier]).get(notifier)
        if record is None:
            text = f"nothing that this notifier reported was recorded by {format_time(cut.known_time)}; check its id"
            raise NotifierNotFound(text, {"notifier": request.name})
        return review_pb.GetNotifierResponse(notifier=notifier_message(marketplace, notifier, assess(record)))

    def ListNotifiers(self, request: review_pb.ListNotifiersRequest) -> review_pb.ListNotifiersResponse:
        """Return a page of notifiers by id; it may be short."""
        marketplace = parse_marketplace(request.parent, "parent")
        page = self._reads.page(request, is_id)
        limit = page.limit
        names = self._ledger.notifiers.list(marketplace, page.after, limit + 1)
        records = self._ledger.notifiers.records(marketplace, page.cut, names[:limit])
        return review_pb.ListNotifiersResponse(
            notifiers=[notifier_message(marketplace, name, assess(records[name])) for name in names if name in records],
            next_page_token=page.make_token(names[limit - 1]) if len(names) > limit else "",
        )

    def ListReviewQueue(self, request: review_pb.ListReviewQueueRequest) -> review_pb.ListReviewQueueResponse:
        """Return a page of open violations, most urgent first; the first page adds open cases and complaints."""
        marketplace = parse_marketplace(request.parent, "parent")
        page = self._reads.page(request, is_number)
        items, is_truncated = review_queue(self._ledger, marketplace, page.cut)
        begin = page.after_number
        end = begin + page.limit
        views = self._ledger.violations.find_views(marketplace, [item.violation for item in items[begin:end]], page.cut)
        known_cut = replace(page.cut, observe_time=min(page.cut.observe_time, page.cut.known_time))
        sellers = sorted({view.seller for view in views.values()})
        cautions = self._find_undecided_cautions(marketplace, sellers, known_cut)
        response = review_pb.ListReviewQueueResponse(
            items=queue_messages(marketplace, items[begin:end], views, cautions),
            next_page_token=page.make_token(end) if end < len(items) else "",
            truncated=is_truncated,
        )
        if begin == 0:
            now = page.cut.observe_time if request.HasField("observe_time") else self._ledger.clock.now()
            cases = self._ledger.cases.list_open(marketplace, page.cut, MAX_CASES)
            response.cases.extend(case_messages(marketplace, cases, now))
            complaints = self._ledger.entries.list_undecided_complaints(marketplace, page.cut, MAX_CASES)
            response.complaints.extend(entry_message(marketplace, complaint) for complaint in complaints)
            response.open_cases, response.overdue_cases = self._ledger.cases.count_open(page.cut, now, [marketplace])
        return response

    def _find_undecided_cautions(self, marketplace: str, sellers: Sequence[str], cut: Cut) -> dict[str, list[Caution]]:
        """Return each seller's cautions whose case no one has confirmed."""
        cautions = self._scorer.cautions(marketplace, sellers, cut)
        terms = self._ledger.measures.of_sellers(marketplace, list(cautions), cut)
        undecided: dict[str, list[Caution]] = {}
        for seller, raised in cautions.items():
            confirmed = {
                recorded_case.fact.case
                for recorded_case in terms[seller].cases
                if recorded_case.fact.state is CaseState.CONFIRMED
            }
            undecided[seller] = [caution for caution in raised if caution.case not in confirmed]
        return undecided

    def DecideViolations(self, request: review_pb.DecideViolationsRequest) -> review_pb.DecideViolationsResponse:
        """Return what a bulk decision would do; with `execute`, append its next entries.

        Raises SelectionChanged if count or etag differ from the dry run.
        """
        marketplace = parse_marketplace(request.parent, "parent")
        decision = decision_of(marketplace, request)
        if request.execute:
            outcome = execute(self._ledger, marketplace, decision, request.expected_count, request.etag)
        else:
            outcome = dry_run(self._ledger, marketplace, decision)
        return outcome_message(marketplace, outcome)

    def GetTransparencyReport(
        self, request: review_pb.GetTransparencyReportRequest
    ) -> review_pb.GetTransparencyReportResponse:
        """Return a marketplace's public figures of a month or year, as known now and at publication.

        Those at publication are missing before it, and if nothing was recorded by then. Raises InvalidInput if
        the period has not begun; TooManyCalls while another report is made.
        """
        marketplace = parse_marketplace(request.parent, "parent")
        period = parse_period(request.period)
        now = self._ledger.cut()
        if period.start >= now.observe_time:
            raise invalid("period", f"must have begun by {format_time(now.observe_time)}")
        published = self._ledger.cut(known_time=period.publish_time) if period.publish_time <= now.known_time else None
        if published is not None and not published.sequence:
            published = None
        if not self._is_reporting.acquire(blocking=False):
            raise TooManyCalls("another report is being made; reports are made one at a time", seconds=10.0)
        try:
            return self._make_report(marketplace, period, now, published)
        finally:
            self._is_reporting.release()

    def _make_report(
        self, marketplace: str, period: Period, now: Cut, published: Cut | None
    ) -> review_pb.GetTransparencyReportResponse:
        tally = self._ledger.transparency.tally
        return report_message(
            period,
            now,
            tally(marketplace, period, now.sequence),
            published,
            None if published is None else tally(marketplace, period, published.sequence),
            is_simulated=not self._ledger.clock.server.is_witnessed,
        )
