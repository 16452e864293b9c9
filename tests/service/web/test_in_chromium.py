"""Badges in a real Chromium: on the demo's checkout, and on a page of somebody else under a Content-Security-Policy.

Screenshots are kept in the folder that SCREENSHOTS_DIR names, to be looked at; `.ci/run` names one.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from sellertrust.client import Client
from service.web.script import INTEGRITY
from tests.service.web.serving import Site, badge_site

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
RESOURCES = "performance.getEntriesByType('resource').map(r => [r.name, r.responseEnd > 0])"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; .ci/run installs it")

expect.set_options(timeout=60_000)
LABELS = {"en": ["Exemplary seller", "Trusted seller"], "zh": ["卓越卖家", "可信卖家"]}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(chromium: Browser, url: str, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what its console and its errors said."""
    context = chromium.new_context(**options)
    try:
        page = context.new_page()
        found: list[str] = []
        page.on("console", lambda message: found.append(message.text))
        page.on("requestfailed", lambda request: found.append(f"{request.url} fails"))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("dialog", lambda dialog: (found.append("a dialog"), dialog.dismiss()))
        page.goto(url, wait_until="networkidle")
        yield page, found
    finally:
        context.close()


@contextmanager
def checkout(body: str, badges: str, *, integrity: str = INTEGRITY) -> Iterator[str]:
    """A page of another origin, under a policy that lets in nothing but the badge server; its address."""
    script = f'<script src="{badges}/badge.js" integrity="{integrity}" crossorigin="anonymous" defer></script>'
    page = f'<!doctype html><html lang="zh-CN"><head><title>t</title>{script}</head><body>{body}</body></html>'.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            policy = f"default-src 'none'; script-src {badges}; connect-src {badges}; img-src {badges}"
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page if self.path == "/" else b"")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def place(seller: str, marketplace: str = "acme") -> str:
    return f"<p><span data-sellertrust-badge data-marketplace='{marketplace}' data-seller='{seller}'></span></p>"


def wait_for_pictures(page: Page) -> None:
    """Waits until the pictures of the page have come, which are put into it before."""
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)", timeout=60_000)


def alts(page: Page) -> list[str | None]:
    return [image.get_attribute("alt") for image in page.get_by_role("img").all()]


def keep(page: Page, name: str) -> None:
    """A screenshot, where somebody wants them."""
    if folder := os.environ.get("SCREENSHOTS_DIR"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1024])
def test_a_checkout_shows_the_badges_that_there_are_and_can_be_used_by_everybody(
    chromium: Browser, site: Site, language: str, scheme: Any, width: int
) -> None:
    """No violation of the rules of axe, nothing that overflows, and nothing on the console."""
    options = {"locale": language, "color_scheme": scheme, "viewport": {"width": width, "height": 640}}
    with opened(chromium, f"http://{site.server.address}/demo", **options) as (page, found):
        expect(page.get_by_role("img")).to_have_count(2)
        wait_for_pictures(page)
        assert alts(page) == LABELS[language]
        shown = "[...document.images].map(i => [i.complete, i.naturalWidth > 60, i.getBoundingClientRect().height])"
        assert page.evaluate(shown) == [[True, True, 24]] * 2
        assert page.locator("[data-seller=low] img, [data-seller=new] img, [data-seller=stranger] img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, f"demo-{language}-{scheme}-{width}")
        results = Axe().run(page).response
        assert [(one["id"], one["nodes"]) for one in results["violations"]] == []
        assert page.evaluate("document.documentElement.lang") == language
        assert [text for text in found if "axe" not in text] == []


def test_the_other_language_is_one_click_away(chromium: Browser, site: Site) -> None:
    with opened(chromium, f"http://{site.server.address}/demo", locale="en") as (page, _):
        page.get_by_role("link", name="中文").click()
        expect(page.get_by_role("img", name="可信卖家")).to_be_visible()
        page.get_by_role("link", name="English").click()
        expect(page.get_by_role("img", name="Trusted seller")).to_be_visible()


def test_a_page_of_another_origin_shows_badges_under_a_strict_policy(chromium: Browser, site: Site) -> None:
    """In the page's own language; ids that are none show nothing, and none of them becomes markup.

    Only the picture of a badge that there is is asked for, and each answer is read to its end: none holds a connection.
    """
    hostile = ["../../demo", "good?x=", "&lt;img src=x onerror=alert(1)&gt;", "&quot;&gt;&lt;script&gt;", "%2e%2e", ""]
    body = (
        place("good") + place("low") + "".join(place(seller) for seller in hostile) + "<p data-sellertrust-badge></p>"
    )
    with (
        checkout(body, f"http://{site.server.address}") as address,
        opened(chromium, address, locale="en") as (page, found),
    ):
        expect(page.get_by_role("img", name="可信卖家")).to_be_visible()
        wait_for_pictures(page)
        asked = f"{RESOURCES}.filter(r => r[0].includes('.json') && r[1]).length >= {len(hostile) + 1}"
        page.wait_for_function(asked, timeout=60_000)
        loaded = page.evaluate(RESOURCES)
        assert [name.rpartition("/")[2] for name, _ in loaded if ".svg" in name] == ["good.svg?lang=zh-CN"]
        assert (
            sum(".json" in name for name, ended in loaded if ended) == len(hostile) + 1
        )  # "" is asked about by nobody
        assert [text for text in found if "fails" in text] == []
        assert page.locator("img, script:not([src]), iframe").count() == 1
        keep(page, "embedded")
        assert page.evaluate("document.images[0].naturalWidth") > 60
        assert [text for text in found if "400" not in text and "404" not in text] == []


def test_a_cart_that_changes_asks_again(chromium: Browser, site: Site) -> None:
    with (
        checkout(place("good"), f"http://{site.server.address}") as address,
        opened(chromium, address) as (page, _),
    ):
        expect(page.get_by_role("img")).to_have_count(1)
        page.evaluate("document.querySelector('[data-seller]').dataset.seller = 'low'")
        page.evaluate("window.sellertrustBadges()")
        expect(page.get_by_role("img")).to_have_count(0)


def test_a_script_that_was_changed_does_not_run(chromium: Browser, site: Site) -> None:
    with (
        checkout(place("good"), f"http://{site.server.address}", integrity=INTEGRITY[:-4] + "AAAA") as address,
        opened(chromium, address) as (page, found),
    ):
        assert page.evaluate("'sellertrustBadges' in window") is False
        assert any("integrity" in text for text in found)
        assert page.get_by_role("img").count() == 0


def test_a_checkout_goes_on_while_the_badge_server_knows_nothing_or_is_away(chromium: Browser) -> None:
    with Client("127.0.0.1:1", deadline_seconds=0.2) as client, badge_site(client) as site:
        address = f"http://{site.server.address}"
        with checkout("<h1>Pay</h1>" + place("good"), address) as shop, opened(chromium, shop) as (page, found):
            assert found == []
            assert page.get_by_role("img").count() == 0
    with checkout("<h1>Pay</h1>" + place("good"), address) as shop, opened(chromium, shop) as (page, found):
        expect(page.get_by_role("heading", name="Pay")).to_be_visible()
        assert all("Failed to load resource" in text or text.endswith(" fails") for text in found)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_badge_opened_by_itself_is_a_picture_whose_text_fits(chromium: Browser, site: Site, language: str) -> None:
    for seller, label in zip(("best", "good"), LABELS[language], strict=True):
        url = f"http://{site.server.address}/badge/acme/{seller}.svg?lang={language}"
        with opened(chromium, url, device_scale_factor=4, viewport={"width": 200, "height": 40}) as (page, found):
            assert page.evaluate("document.documentElement.getAttribute('aria-label')") == label
            boxes = page.evaluate(
                "['rect', 'text', 'path'].map(t => document.querySelector(t).getBBox()).map(b => [b.x, b.x + b.width])"
            )
            (left, right), text, mark = boxes
            assert left < mark[0] < mark[1] < text[0] < text[1] < right
            assert found == []


def test_the_page_names_the_script_that_is_served(chromium: Browser, site: Site) -> None:
    """The page of documentation too; a release that changes the script changes both."""
    documented = (Path(__file__).parents[3] / "docs" / "badge.md").read_text()
    assert f'integrity="{INTEGRITY}"' in documented
    assert f'integrity="{INTEGRITY}"' in site.get("/demo").body.decode()
    assert json.loads(site.get("/badge/acme/good.json").body)["badge"] == "trusted"
