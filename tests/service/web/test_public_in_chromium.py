from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from service.web.public.evidence import EvidenceFolder
from service.web.public.seller import TEXTS, SellerPages
from tests.helpers.badge_sites import badge_site
from tests.helpers.chromium import CHROMIUM, chromium, look, measure_layout_shift, opened
from tests.helpers.servers import MARKET, PATIENCE_SECONDS, days_ago, exposure, identity, running_server, violation
from tests.helpers.worlds import artifact

__all__ = ["chromium"]
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"), pytest.mark.long]
PDF = b"%PDF-1.7 an invoice"


@dataclass
class Place:
    client: Client
    url: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("public")
    with running_server(folder, artifact=artifact()) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1", 30)])
        client.append_entries(MARKET, [violation(f"v{n}", "s1", incident=f"i{n}", listing="l-1") for n in range(9)])
        for number in range(8):
            client.confirm_violation(MARKET, f"v{number}", actor="staff", reason="seen")
        pages = SellerPages(client, None, EvidenceFolder(folder / "evidence"))
        with badge_site(client, sellers=pages, call_seconds=PATIENCE_SECONDS) as site:
            yield Place(client, f"http://{site.server.address}")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_for_all(chromium: Browser, place: Place, language: str, scheme: Any) -> None:
    mine = f"/my/{MARKET}/s1"
    pages = {
        "seller": mine,
        "appeal": f"{mine}/appeal?violation=v0",
        "complaint": f"{mine}/complaint",
        "evidence": f"{mine}/evidence",
        "sign-in": f"{mine}/sign-in?token=x",
        "letter": "",
        "problem": f"{mine}/letters/none",
        "report": f"/report/{MARKET}/{days_ago(0):%Y}.html",
    }
    url = place.url + mine
    with opened(chromium, url, locale=language, color_scheme=scheme) as (page, found):
        pages["letter"] = str(page.locator("#letters ~ ul a").first.get_attribute("href"))
        for name, path in pages.items():
            page.goto(place.url + path)
            assert page.evaluate("document.documentElement.lang") == language
            assert measure_layout_shift(page) == 0, name
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            look(page, f"{name}-{language}-{scheme}")
        assert [text for text in found if "axe" not in text and "404" not in text] == []


def test_an_appeal_is_sent_by_keyboard_alone(chromium: Browser, place: Place) -> None:
    texts = TEXTS["en"]
    with opened(chromium, f"{place.url}/my/{MARKET}/s1?lang=en", java_script_enabled=False) as (page, found):
        page.get_by_role("link", name=f"{texts['appeal']} v1").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(texts["send_appeal"])
        page.get_by_label(texts["file"]).set_input_files(
            {"name": "a.pdf", "mimeType": "application/pdf", "buffer": PDF}
        )
        page.get_by_role("button", name=texts["send_appeal"]).press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(texts["reason_missing"])
        page.get_by_label(texts["reason"]).press_sequentially("It is genuine.")
        page.get_by_label(texts["file"]).set_input_files(
            {"name": "a.pdf", "mimeType": "application/pdf", "buffer": PDF}
        )
        page.get_by_role("button", name=texts["send_appeal"]).press("Enter")
        expect(page.get_by_role("status")).to_have_text(texts["done_appeal"])
        assert [text for text in found if "400" not in text] == []
    assert place.client.get_violation(MARKET, "v1").status == entry_pb2.VIOLATION_STATUS_APPEALED
    listed = [*place.client.list_entries(MARKET, "s1")]
    assert sum(one.status.action == entry_pb2.ACTION_APPEAL for one in listed) == 1
    assert sum(one.HasField("remediation") for one in listed) == 1
