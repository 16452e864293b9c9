import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.badge_sites import Site, badge_site
from tests.helpers.servers import MARKET, PATIENCE_SECONDS, days_ago, running_server, violation

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
    rows = {row["figure"]: row for row in csv.DictReader(io.StringIO(found.body.decode())) if not row["dimension"]}
    assert rows["notices"]["count"] == "9"


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
