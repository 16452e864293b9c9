import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from scoring.answers.report_figures import FIGURES
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.review_service_pb2 import GetTransparencyReportResponse, TransparencyUnit
from service.web.public import report_pages
from service.web.public.report import write_html
from tests.helpers.badge_sites import Site, badge_site
from tests.helpers.limits import Limit
from tests.helpers.servers import MARKET, PATIENCE_SECONDS, days_ago, running_server, violation
from tests.helpers.waiting import wait_until

YEAR = f"{days_ago(0):%Y}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("report")
    with running_server(folder) as running, running.client() as client:
        client.append_entries(MARKET, [violation(f"v{n}", "s") for n in range(9)])
        with badge_site(client, call_seconds=PATIENCE_SECONDS) as site:
            yield site


def test_the_page_and_the_csv_are_the_commands(site: Site) -> None:
    page = site.get(f"/report/{MARKET}/{YEAR}.html", accept_language="zh-CN,en;q=0.5")
    assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in str(page.header("content-security-policy"))
    assert "透明度报告" in page.body.decode()
    assert "Transparency report" in site.get(f"/report/{MARKET}/{YEAR}.html?lang=en").body.decode()
    found = site.get(f"/report/{MARKET}/{YEAR}.csv")
    lines = [*csv.DictReader(io.StringIO(found.body.decode()))]
    rows = {row["figure"]: row for row in lines if not row["dimension"]}
    assert rows["notices"]["count"] == "9"
    months = [row["name"] for row in lines if (row["figure"], row["dimension"]) == ("notices", "month")]
    assert months == [f"{YEAR}-{month:02}" for month in range(1, days_ago(0).month + 1)]


def test_a_public_error_shows_nothing_of_the_desk(site: Site) -> None:
    page = site.get(f"/report/{MARKET}/20-13.html")
    assert page.status == 400
    assert "must be a year such as 2026" in page.body.decode()
    assert "sign-out" not in page.body.decode()


class SlowClient:
    def __init__(self, error: Exception | None = None) -> None:
        self.may_end = threading.Event()
        self.error = error
        self.failed = threading.Event()

    def get_transparency_report(self, _marketplace: str, period: str) -> GetTransparencyReportResponse:
        assert self.may_end.wait(PATIENCE_SECONDS)
        if self.error is not None:
            self.may_end.clear()
            self.failed.set()
            raise self.error
        return GetTransparencyReportResponse(period=period)


def test_an_old_report_is_shown_while_it_is_made_again(limit: Limit) -> None:
    limit(report_pages, KEPT_SECONDS=0.0, WAIT_SECONDS=0.05)
    client: Any = SlowClient()
    with badge_site(client) as site:
        assert site.get("/report/acme/2026.csv").status == 503
        client.may_end.set()
        wait_until(lambda: site.get("/report/acme/2026.csv").status == 200)
        client.may_end.clear()
        assert [site.get("/report/acme/2026.csv").status for _ in range(3)] == [200] * 3
        client.may_end.set()


def test_a_report_that_fails_later_says_why(limit: Limit) -> None:
    limit(report_pages, WAIT_SECONDS=0.05)
    client: Any = SlowClient(SellertrustCallError(grpc.StatusCode.NOT_FOUND, "no such marketplace"))
    with badge_site(client) as site:
        assert site.get("/report/acme/2026.csv").status == 503
        client.may_end.set()
        assert client.failed.wait(PATIENCE_SECONDS)
        wait_until(lambda: site.get("/report/acme/2026.csv").status == 404)
        client.may_end.set()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/report/acme/20x6.html", 400),
        ("/report/acme/9000.html", 400),
        ("/report/a%20b/2026.html", 404),
        ("/report/acme/2026-03-01.html", 404),
        ("/report/acme/..%2f..%2fetc.html", 404),
        ("/report/%3Cscript%3E/2026.html", 404),
        ("/report/acme/%3Cscri.html", 400),
    ],
)
def test_a_wrong_address_is_refused_with_a_page(site: Site, path: str, status: int) -> None:
    found = site.get(path)
    assert found.status == status
    assert b"<script>" not in found.body.lower()
    assert not site.reports


def test_a_figure_of_a_newer_server_is_shown_by_its_key() -> None:
    report = GetTransparencyReportResponse(period=YEAR)
    for key, figure in (FIGURES | {"new_figure": FIGURES["notices"]}).items():
        report.figures.add(key=key, part=figure.part, unit=TransparencyUnit.ValueType(figure.unit))
    assert "New figure" in write_html(report, MARKET)
