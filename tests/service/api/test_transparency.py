import csv
import io
from datetime import UTC, datetime
from pathlib import Path

from scoring.answers.report_figures import FIGURES, NOT_FROM_LEDGER
from scoring.base.time import parse_time
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import review_service_pb2 as review_pb
from service.api.servicers.review import ReviewServicer
from service.ledger.store import Ledger
from service.web.public.report import COLUMNS, write_csv, write_html
from tests.helpers.builders import Clock, status, violation
from tests.helpers.callers import grant
from tests.helpers.granted import granted_server
from tests.helpers.refusals import denied, refused_fields
from tests.helpers.servers import MARKET, days_ago
from tests.helpers.servers import violation as reported

Report = review_pb.GetTransparencyReportResponse


def counts(report: Report, name: str) -> dict[str, int]:
    return {one.key: getattr(one, name).count for one in report.figures}


def test_a_report_shows_what_was_published_beside_what_is_known(tmp_path: Path) -> None:
    clock = Clock(parse_time("2026-01-20T12:00:00Z"))
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True, clock=clock) as ledger:
        then = clock.now - 10**9
        ledger.append(MARKET, [violation(f"v{n}", "s", occur_time=then) for n in range(6)])
        ledger.append(MARKET, [status(f"v{n}", occur_time=then + 10) for n in range(6)])
        clock.now = parse_time("2026-05-20T12:00:00Z")
        late = violation("late", "s", occur_time=then, report_time=then)
        ledger.append(MARKET, [late], imported=True)
        servicer = ReviewServicer(ledger, None, None)  # type: ignore[arg-type]
        request = review_pb.GetTransparencyReportRequest(parent=f"marketplaces/{MARKET}", period="2026-01")
        report = servicer.GetTransparencyReport(request)
    assert report.publish_time.ToDatetime(UTC) == datetime(2026, 4, 1, tzinfo=UTC)
    assert (counts(report, "published")["notices"], counts(report, "known")["notices"]) == (6, 7)
    assert report.simulated
    assert [one.key for one in report.figures] == [*FIGURES]
    assert [*report.not_from_ledger] == [*NOT_FROM_LEDGER]


def test_a_report_over_grpc_and_its_files(client: Client) -> None:
    client.append_entries(MARKET, [reported(f"v{n}", "s") for n in range(6)])
    client.append_entries(MARKET, [reported(f"c{n}", "s", source=entry_pb2.SOURCE_COURT) for n in range(2)])
    year = f"{days_ago(0):%Y}"
    report = client.get_transparency_report(MARKET, year)
    assert (counts(report, "known")["notices"], counts(report, "known")["orders"]) == (6, 0)
    assert not report.simulated
    assert not report.HasField("publish_time")
    rows = [*csv.DictReader(io.StringIO(write_csv(report)))]
    assert {row["state"] for row in rows if row["figure"] in NOT_FROM_LEDGER} == {"not from the ledger"}
    assert [row["count"] for row in rows if row["figure"] == "orders" and not row["dimension"]] == [""]
    assert {row["figure"] for row in rows} == {*FIGURES, *NOT_FROM_LEDGER}
    assert tuple(rows[0]) == COLUMNS
    for language in ("en", "zh"):
        page = write_html(report, "<script>alert(1)</script>", language, alone=True)
        assert "<script" not in page
        assert "SIMULATED" not in page
    report.simulated = True
    assert all("SIMULATED" in write_html(report, MARKET, language) for language in ("en", "zh"))


def test_a_wrong_period_is_refused(client: Client) -> None:
    client.append_entries(MARKET, [reported("v", "s")])
    for period in ("", "26", "2026-13", "2026-1", "9999", "2026-01-01", "\uff11\uff19\uff19\uff19", "9000"):
        assert refused_fields(client.get_transparency_report, MARKET, period) == ["period"]


def test_a_report_needs_its_own_right_over_the_marketplace(tmp_path: Path) -> None:
    tables = [
        grant("dns:web.example", ["read_report"]),
        grant("dns:seller.example", ["read_report"], sellers=["s"]),
        grant("dns:reader.example", ["read_ledger"]),
    ]
    with granted_server(tmp_path, *tables) as callers:
        with callers("web") as client:
            assert client.get_transparency_report(MARKET, "2025").figures
        for name in ("seller", "reader"):
            with callers(name) as client:
                denied(client.get_transparency_report, MARKET, "2025")
