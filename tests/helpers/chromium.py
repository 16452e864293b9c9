"""Pages in a real Chromium.

SCREENSHOTS_DIR names a folder for screenshots; `.ci/run` sets it.
"""

import base64
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, Request, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDTHS_OF_PAGES = (390, 820, 1280)
LATE_FOCUS = "Autofocus processing was blocked"
"""Chromium says so when a key is pressed before it gave a page's first focus."""
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(chromium: Browser, url: str, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    context = chromium.new_context(**options)
    try:
        page = context.new_page()
        found: list[str] = []

        def refuse(dialog: Dialog) -> None:
            found.append("a dialog")
            dialog.dismiss()

        page.on("console", lambda message: found.extend([message.text] if LATE_FOCUS not in message.text else []))
        page.on("requestfailed", lambda request: found.extend(_describe_failure(request)))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("dialog", refuse)
        page.goto(url, wait_until="networkidle")
        yield page, found
    finally:
        context.close()


def _describe_failure(request: Request) -> list[str]:
    """A page that is left while its icon loads ends that request."""
    return (
        [] if request.failure == "net::ERR_ABORTED" and request.url.endswith("/site.svg") else [f"{request.url} fails"]
    )


def measure_layout_shift(page: Page) -> float:
    return float(page.evaluate(_SHIFT))


_SHIFT = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) sum += one.value;
  }).observe({type: "layout-shift", buffered: true});
  setTimeout(() => done(sum), 100);
})"""


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS_DIR"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def side_by_side(chromium: Browser, shots: Sequence[bytes]) -> bytes:
    page = chromium.new_page()
    drawn = page.evaluate(
        """async (shots) => {
            const load = async (shot) => {
                const image = Object.assign(new Image(), { src: `data:image/png;base64,${shot}` });
                await image.decode();
                return image;
            };
            const images = await Promise.all(shots.map(load));
            const canvas = document.createElement("canvas");
            canvas.width = images.reduce((sum, image) => sum + image.width + 16, -16);
            canvas.height = images[0].height;
            const context = canvas.getContext("2d");
            let left = 0;
            for (const image of images) {
                const frame = new Path2D();
                frame.roundRect(left + 0.5, 0.5, image.width - 1, image.height - 1, 12);
                context.save();
                context.clip(frame);
                context.drawImage(image, left, 0);
                context.restore();
                context.strokeStyle = "#d8d4ca";
                context.stroke(frame);
                left += image.width + 16;
            }
            return canvas.toDataURL("image/webp", 0.85).split(",")[1];
        }""",
        [base64.b64encode(one).decode() for one in shots],
    )
    page.close()
    return base64.b64decode(drawn)


def look(page: Page, name: str) -> None:
    """Check a page at each width: axe, no scrolling sideways; keep a screenshot."""
    for width in WIDTHS_OF_PAGES:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        keep(page, f"{name}-{width}")
        violations = Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == [], name
