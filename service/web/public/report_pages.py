import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scoring.entries.field_types import is_id
from sellertrust.client import Client
from service.web.frame.rendering import HEADERS
from service.web.frame.visits import Problem, SignInNeeded, Site, Visit, Visitor
from service.web.languages import language_of
from service.web.public.report import Report, write_csv, write_html
from service.web.recent import Recent

KEPT_SECONDS = 600.0
MAX_KEPT = 200
WAIT_SECONDS = 2.0


@dataclass
class ReportPages:
    """One report is made at a time; after KEPT_SECONDS it is shown while it is made again."""

    client: Client
    _kept: Recent[tuple[str, str], tuple[float, Report]] = field(default_factory=partial(Recent, MAX_KEPT))
    _unseen_failures: Recent[tuple[str, str], Exception] = field(default_factory=partial(Recent, MAX_KEPT))
    """Failures that no reader has seen yet."""
    _maker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="report"))
    _making: Future[Report] | None = None

    def routes(self, report: Callable[[str], None]) -> list[Route]:
        site = Site(lambda _: Visitor("", "", self.client), _refuse_sign_in, report)
        return [
            site.route("/report/{marketplace}/{period}.html", self.page),
            site.route("/report/{marketplace}/{period}.csv", self.csv),
        ]

    def page(self, visit: Visit) -> Response:
        html = write_html(self._find_or_make_report(visit), visit.path_value("marketplace"), language_of(visit.request))
        return Response(html, headers=HEADERS | {"Vary": "Accept-Language"}, media_type="text/html")

    def csv(self, visit: Visit) -> Response:
        name = f"report-{visit.path_value('period')}.csv"
        body = write_csv(self._find_or_make_report(visit))
        return Response(
            body, headers=HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}, media_type="text/csv"
        )

    def _find_or_make_report(self, visit: Visit) -> Report:
        key = marketplace, period = visit.path_value("marketplace"), visit.path_value("period")
        if not is_id(marketplace) or len(period) > len("2026-03"):
            raise Problem(
                404, "There is no such report", "Its address is /report/MARKETPLACE/2026.html or 2026-03.html."
            )
        until = time.monotonic() + WAIT_SECONDS
        while True:
            time_and_report = self._kept.get(key)
            if time_and_report is not None and time.monotonic() < time_and_report[0]:
                return time_and_report[1]
            if (failed := self._unseen_failures.get(key)) is not None:
                self._unseen_failures.drop(key)
                raise failed
            making = self._making
            is_first_reader = False
            if making is None or making.done():
                making, is_first_reader = self._maker.submit(self._make_report, key), True
                self._making = making
            if time_and_report is not None:
                return time_and_report[1]
            wait([making], until - time.monotonic())
            if not making.done():
                raise Problem(503, "The report is being made", "Open this page again in a minute.")
            if is_first_reader:
                self._unseen_failures.drop(key)
                return making.result()

    def _make_report(self, key: tuple[str, str]) -> Report:
        try:
            report = self.client.get_transparency_report(*key)
        except Exception as error:
            self._unseen_failures.put(key, error)
            raise
        self._kept.put(key, (time.monotonic() + KEPT_SECONDS, report))
        return report


def _refuse_sign_in(_: Request) -> Response:
    raise SignInNeeded
