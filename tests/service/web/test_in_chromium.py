"""Badges in a real Chromium: on the demo's checkout, and on another origin's page with a Content-Security-Policy."""

import hashlib
import itertools
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from sellertrust.client import Client
from service.demo_cast import ACCUSED, GOOD, MARKETPLACE, NOW
from service.web.drawing import SIZES, WIDTHS, BadgeLook, draw_badge
from service.web.pages import STYLESHEET, Award, record_page, shop_page
from service.web.words import read_words
from tests.helpers import chromium as pages
from tests.helpers.badge_sites import INTEGRITY, Site, badge_site
from tests.helpers.chromium import CHROMIUM, IMAGES, WIDTHS_OF_PAGES, keep, opened, side_by_side

chromium = pages.chromium
RESOURCES = "performance.getEntriesByType('resource').map(r => [r.name, r.responseEnd > 0])"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; .ci/run installs it")

LABELS = {"en": ["Excellent selling record", "Good selling record"], "zh": ["销售记录优秀", "销售记录良好"]}
DOCUMENT = Path(__file__).parents[3] / "docs" / "tutorials" / "checkout.md"
PICTURE = IMAGES / "badges.webp"


@contextmanager
def checkout(body: str, badges: str, *, integrity: str = INTEGRITY) -> Iterator[str]:
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


def place(seller: str, marketplace: str = "acme", more: str = "") -> str:
    data = f"data-marketplace='{marketplace}' data-seller='{seller}' {more}"
    return f"<p>Shop <span data-sellertrust-badge {data}></span> <i>after</i></p>"


def wait_for_pictures(page: Page) -> None:
    """`wait_for_function` evaluates a string in the page as soon as it must poll; the pages' policy forbids that."""
    deadline = time.monotonic() + 60
    while not page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)"):
        assert time.monotonic() < deadline, "a picture did not load within a minute"
        page.wait_for_timeout(20)


def alts(page: Page) -> list[str | None]:
    return [image.get_attribute("alt") for image in page.get_by_role("img").all()]


@pytest.mark.long
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_shop_and_the_page_behind_a_badge_are_for_all(
    chromium: Browser, site: Site, language: str, scheme: Any
) -> None:
    with opened(chromium, f"http://{site.server.address}/demo", locale=language, color_scheme=scheme) as (page, found):
        for name in ("shop", "record"):
            for width in WIDTHS_OF_PAGES:
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                keep(page, f"{name}-{language}-{scheme}-{width}")
                violations = Axe().run(page).response["violations"]
                assert [(one["id"], one["nodes"]) for one in violations] == []
            assert page.evaluate("document.documentElement.lang") == language
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            assert page.evaluate("[...document.images].every(i => i.currentSrc.includes('theme=dark'))") == (
                scheme == "dark"
            )
            if name == "shop":
                best, good = LABELS[language]
                assert alts(page) == [best, good, best, good, best, good]
                page.locator(".card a").first.click()
                expect(page.get_by_role("heading").get_by_role("img")).to_have_attribute("alt", best)
        assert [text for text in found if "axe" not in text] == []


@pytest.mark.long
def test_the_other_language_is_one_click_away(chromium: Browser, site: Site) -> None:
    with opened(chromium, f"http://{site.server.address}/demo", locale="en") as (page, _):
        for link, label in (("中文", LABELS["zh"][1]), ("English", LABELS["en"][1])):
            page.get_by_role("link", name=link).click()
            expect(page.get_by_role("img", name=label).first).to_be_visible()


@pytest.mark.long
def test_a_page_of_another_origin_shows_badges_under_a_policy(chromium: Browser, site: Site) -> None:
    hostile = ["../../demo", "good?x=", "&lt;img src=x onerror=alert(1)&gt;", "&quot;&gt;&lt;script&gt;", "%2e%2e", ""]
    body = (
        place("good") + place("low") + "".join(place(seller) for seller in hostile) + "<p data-sellertrust-badge></p>"
    )
    with (
        checkout(body, f"http://{site.server.address}") as address,
        opened(chromium, address, locale="en") as (page, found),
    ):
        expect(page.get_by_role("link", name=LABELS["zh"][1])).to_be_visible()
        wait_for_pictures(page)
        loaded = page.evaluate(RESOURCES)
        asked = [name.rpartition("/")[2] for name, ended in loaded if ended and "badge.js" not in name]
        assert asked == [
            "acme.json?lang=zh&seller=good&seller=low",
            "trusted.svg?lang=zh&size=20&theme=light&form=label",
        ]
        assert page.locator("img, script:not([src]), iframe").count() == 1
        assert found == []
        page.get_by_role("link").evaluate("link => link.target = '_self'")
        page.get_by_role("link").click()
        expect(page.get_by_role("heading").get_by_role("img")).to_have_attribute("alt", LABELS["zh"][1])


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", ["label", "mark"])
def test_nothing_shifts_and_badges_sit_on_the_line_of_text(chromium: Browser, site: Site, size: int, form: str) -> None:
    more = f"data-size='{size}' data-form='{form}'"
    with checkout(place("good", more=more) + place("low", more=more), f"http://{site.server.address}") as address:
        context = chromium.new_context()
        page = context.new_page()
        held: list[Route] = []
        page.route("**/acme.json*", lambda route: held.append(route))  # noqa: PLW0108 it sets attributes of its handler
        page.goto(address, wait_until="load")
        while not held:
            page.wait_for_timeout(10)
        boxes = "[...document.querySelectorAll('p, i, span')].map(e => JSON.stringify(e.getBoundingClientRect()))"
        before = page.evaluate(boxes)
        held[0].continue_()
        expect(page.get_by_role("img")).to_have_count(1)
        wait_for_pictures(page)
        assert page.evaluate(boxes) == before
        bottom, line = page.evaluate(
            """() => {
                const mark = document.querySelector("i").appendChild(document.createElement("b"));
                mark.style.display = "inline-block";
                return [document.images[0], mark].map((one) => one.getBoundingClientRect().bottom);
            }"""
        )
        assert bottom - size / 4 == pytest.approx(line, abs=0.5)
        context.close()


@pytest.mark.long
def test_a_badge_takes_the_variant_that_suits_the_text(chromium: Browser, site: Site) -> None:
    body = place("good") + f"<font color='#eee'>{place('best')}{place('best', more='data-theme=light')}</font>"
    with checkout(body, f"http://{site.server.address}") as address, opened(chromium, address) as (page, _):
        expect(page.get_by_role("img")).to_have_count(3)
        themes = page.evaluate("[...document.images].map(i => new URL(i.src).searchParams.get('theme'))")
        assert themes == ["light", "dark", "light"]


@pytest.mark.long
def test_a_cart_that_changes_asks_again(chromium: Browser, site: Site) -> None:
    with (
        checkout(place("good"), f"http://{site.server.address}") as address,
        opened(chromium, address) as (page, _),
    ):
        expect(page.get_by_role("img")).to_have_count(1)
        page.evaluate("document.querySelector('[data-seller]').dataset.seller = 'low'")
        page.evaluate("window.sellertrustBadges()")
        expect(page.get_by_role("img")).to_have_count(0)


@pytest.mark.long
def test_a_script_that_was_changed_does_not_run(chromium: Browser, site: Site) -> None:
    with (
        checkout(place("good"), f"http://{site.server.address}", integrity=INTEGRITY[:-4] + "AAAA") as address,
        opened(chromium, address) as (page, found),
    ):
        assert page.evaluate("'sellertrustBadges' in window") is False
        assert any("integrity" in text for text in found)
        assert page.get_by_role("img").count() == 0


@pytest.mark.long
def test_a_checkout_goes_on_without_badges(chromium: Browser) -> None:
    with Client("127.0.0.1:1", deadline_seconds=0.2) as client, badge_site(client) as site:
        address = f"http://{site.server.address}"
        with checkout("<h1>Pay</h1>" + place("good"), address) as shop, opened(chromium, shop) as (page, found):
            assert found == []
            assert page.get_by_role("img").count() == 0
    with checkout("<h1>Pay</h1>" + place("good"), address) as shop, opened(chromium, shop) as (page, found):
        expect(page.get_by_role("heading", name="Pay")).to_be_visible()
        assert all("Failed to load resource" in text or text.endswith(" fails") for text in found)


@pytest.fixture
def wide_font(chromium: Browser, tmp_path: Path) -> Iterator[Browser]:
    """A browser that knows DejaVu Sans alone, whose letters are wider than Helvetica's."""
    config = tmp_path / "fonts.conf"
    font = subprocess.check_output(["fc-match", "--format", "%{file}", "DejaVu Sans:bold"], text=True)
    config.write_text(f"<fontconfig><dir>{Path(font).parent}</dir><cachedir>{tmp_path}</cachedir></fontconfig>")
    environment: Any = {**os.environ, "FONTCONFIG_FILE": str(config)}
    browser = chromium.browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox"], env=environment)
    yield browser
    browser.close()


@pytest.mark.long
@pytest.mark.parametrize("fonts", ["chromium", "wide_font"])
def test_a_label_fits_its_badge_in_every_font(fonts: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(fonts).new_page()
    for size, (language, labels) in itertools.product(SIZES, LABELS.items()):
        for label in labels:
            page.set_content(draw_badge("tick", label, BadgeLook(language, size)))
            mark, text = page.evaluate(
                "['g', 'text'].map(t => document.querySelector(t).getBoundingClientRect()).map(b => [b.left, b.right])"
            )
            natural = page.evaluate(
                """() => {
                    const text = document.querySelector("text");
                    text.removeAttribute("textLength");
                    return text.getBoundingClientRect().width;
                }"""
            )
            left = page.evaluate("document.querySelector('svg').getBoundingClientRect().left")
            width = text[1] - text[0]
            assert left <= mark[0] < mark[1] <= left + size < text[0] < text[1] <= left + WIDTHS[language][size]
            if fonts == "chromium":  # it has Liberation Sans, as wide as Helvetica
                assert natural == pytest.approx(width, rel=0.03)
            elif language == "en":
                assert natural > width * 1.1
    page.close()


def test_the_picture_in_the_documents_is_of_the_pages_of_now(
    chromium: Browser, site: Site, request: pytest.FixtureRequest
) -> None:
    words = read_words()
    awards = {
        member.seller: Award(MARKETPLACE, member.seller, "exemplary", words["exemplary"], NOW)
        for member in (GOOD, ACCUSED)
    }
    pages = [shop_page(awards, words, "en"), record_page(awards[GOOD.seller], "en")]
    badge = draw_badge(words["exemplary"].mark, words["exemplary"].labels["en"], BadgeLook())
    digest = hashlib.sha256("".join([*pages, badge]).encode() + STYLESHEET).hexdigest()[:16]
    if request.config.getoption("update_docs"):
        shots = [
            shot(chromium, f"http://{site.server.address}/demo", body, width)
            for body, width in zip(pages, (600, 440), strict=True)
        ]
        PICTURE.write_bytes(side_by_side(chromium, shots))
        DOCUMENT.write_text(re.sub(r"<!-- drawn from \w+ -->", f"<!-- drawn from {digest} -->", DOCUMENT.read_text()))
    assert f"<!-- drawn from {digest} -->" in DOCUMENT.read_text(), "run this test with --update-docs, and look at it"
    assert PICTURE.stat().st_size < 60_000


def shot(chromium: Browser, url: str, body: str, width: int) -> bytes:
    page = chromium.new_page(viewport={"width": width, "height": 676})
    page.route(url, lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(url, wait_until="networkidle")
    drawn = page.screenshot()
    page.close()
    return drawn
