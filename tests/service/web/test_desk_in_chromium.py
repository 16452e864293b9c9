import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from sellertrust.client import Client
from service.web.desk import journal
from tests.helpers.badge_sites import Site, filled_server
from tests.helpers.chromium import CHROMIUM, IMAGES, chromium, look, measure_layout_shift, opened, side_by_side
from tests.helpers.desk_sites import CODE, desk_site
from tests.helpers.limits import Limit
from tests.helpers.servers import MARKET, violation

__all__ = ["chromium"]
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"), pytest.mark.long]
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><circle cx="9" cy="9" r="8" fill="teal"/></svg>'
DESK_PICTURE = IMAGES / "desk.webp"
HOSTILE = "<img src=x onerror=alert(1)>"


@dataclass
class Place:
    client: Client
    url: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("desk")
    (folder / "evidence").mkdir()
    (folder / "evidence" / "a.svg").write_bytes(PICTURE)
    with filled_server(folder) as running, running.client() as client:
        client.append_entries(MARKET, [_report(folder, number) for number in range(12)])
        client.appeal_violation(MARKET, "v-low", actor="seller", reason=f"It is genuine. {HOSTILE}")
        with desk_site(client, folder, evidence=str(folder / "evidence")) as site:
            yield Place(client, _link(site))


def _report(folder: Path, number: int) -> Any:
    entry = violation(f"v-{number}", "good", incident=f"i-{number}", listing=f"l-{number}", brand="b-1")
    if not number % 2:
        entry.violation.ground = HOSTILE
    else:
        entry.violation.evidence_uri = f"{folder}/evidence/a.svg"
        entry.violation.evidence_sha256 = hashlib.sha256(PICTURE).hexdigest()
    return entry


def _link(site: Site) -> str:
    return f"http://{site.server.desk_address}"


def sign_in(page: Page, name: str) -> None:
    page.get_by_label("Working name").fill(name)
    page.keyboard.press("Enter")
    expect(page.get_by_text(name)).to_be_visible()


def test_a_slow_browser_shows_no_half_of_a_page(chromium: Browser, place: Place) -> None:
    with opened(chromium, f"{place.url}/sign-in?code={CODE}") as (page, _found):
        sign_in(page, "slow")
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 10})
        for path in ("/policy", "/operations", "/proposals") * 5:
            page.goto(place.url + path)
            assert measure_layout_shift(page) == 0, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_the_desk_is_for_all(chromium: Browser, place: Place, scheme: Any) -> None:
    pages = {
        "search": "/search?q=nobody",
        "seller": "/sellers/low",
        "entries": "/sellers/good/entries",
        "what-if": "/sellers/low/if?violation=v-low&action=overturn",
        "replay": "/sellers/low/replay",
        "queue": "/queue",
        "case": "/cases/v-1",
        "appeal": "/cases/v-low",
        "many": "/bulk",
        "policy": "/policy",
        "proposals": "/proposals",
        "operations": "/operations",
        "record": "/record",
        "problem": "/nothing",
    }
    with opened(chromium, f"{place.url}/sign-in?code={CODE}", color_scheme=scheme) as (page, found):
        look(page, f"desk-sign-in-{scheme}")
        sign_in(page, f"looker-{scheme}")
        for name, path in pages.items():
            page.goto(place.url + path)
            assert measure_layout_shift(page) == 0, name
            page.evaluate("document.querySelectorAll('details:not(.menu)').forEach(one => one.open = true)")
            look(page, f"desk-{name}-{scheme}")
        page.goto(f"{place.url}/cases/v-{2 if scheme == 'light' else 4}")
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("what follows")
        look(page, f"desk-consequence-{scheme}")
        assert page.locator("img[src='x'], main script:not([src])").count() == 0
        unforeseen = [text for text in found if not re.search(r"axe|404", text)]
        assert unforeseen == []


def test_cases_are_decided_by_four_keys_and_undone(chromium: Browser, place: Place) -> None:
    with opened(chromium, f"{place.url}/sign-in?code={CODE}") as (page, found):
        sign_in(page, "keys-1")
        page.keyboard.press("n")
        for choice in ("5", "4"):
            expect(page.get_by_role("heading", level=1)).to_contain_text("is it true?")
            before = page.url
            page.keyboard.press(choice)
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", level=1)).to_contain_text("what follows")
            page.keyboard.press("Enter")
            page.wait_for_url(lambda url, seen=before: "/cases/" in url and seen not in url)
        expect(page.get_by_text("It becomes an entry in")).to_be_visible()
        last = page.get_by_role("status").get_by_role("link").inner_text()
        page.keyboard.press("u")
        page.wait_for_url(f"**/cases/{last}")
        assert found == []


def test_enter_presses_the_button_that_has_the_focus(chromium: Browser, place: Place) -> None:
    with opened(chromium, f"{place.url}/sign-in?code={CODE}") as (page, _):
        sign_in(page, "keys-2")
        page.goto(f"{place.url}/cases/v-9")
        page.keyboard.press("5")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Escalate").focus()
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "v-9" not in url)
        assert page.get_by_text("It becomes an entry in").count() == 0


def test_a_case_is_decided_without_script(chromium: Browser, place: Place, limit: Limit) -> None:
    limit(journal, UNDO_SECONDS=60.0)
    with opened(chromium, f"{place.url}/sign-in?code={CODE}", java_script_enabled=False) as (page, found):
        sign_in(page, "plain-1")
        page.goto(f"{place.url}/cases/v-11")
        page.get_by_role("button", name="Open the evidence").click()
        expect(page.get_by_role("img", name="Evidence of the report")).to_be_visible()
        page.get_by_label("The goods are genuine").check()
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name=re.compile("next case")).click()
        expect(page.get_by_text("It becomes an entry in")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("is it true?")
        assert found == []


def test_the_picture_of_the_desk_is_made_here(chromium: Browser, place: Place, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("update_docs"):
        with opened(chromium, f"{place.url}/sign-in?code={CODE}", viewport={"width": 1160, "height": 800}) as (page, _):
            sign_in(page, "reviewer-7")
            shots = []
            for path in ("/cases/v-9", "/sellers/low"):
                page.goto(place.url + path, wait_until="networkidle")
                shots.append(page.screenshot())
        DESK_PICTURE.write_bytes(side_by_side(chromium, shots))
    assert DESK_PICTURE.stat().st_size < 120_000
