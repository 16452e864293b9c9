"""The desk: a keyboard run of cases in Chromium, pages by HTTP, weights, and badges beside it.

The run measures the machine, not a person's reading. `WEB_SELLERS` and `WEB_CASES` change the sizes.
"""

import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from sellertrust.client import Client
from sellertrust.v1.entry_pb2 import VIOLATION_STATUS_CONFIRMED, VIOLATION_STATUS_DISMISSED, Entry
from service.web.frame.rendering import SCRIPT, STYLESHEET
from tests.bench._real_data import Say
from tests.helpers.badge_sites import Site
from tests.helpers.chromium import CHROMIUM
from tests.helpers.desk_sites import CODE, Person, desk_site, person
from tests.helpers.filled import fill
from tests.helpers.servers import MARKET, PATIENCE_SECONDS, running_server, violation
from tests.helpers.worlds import artifact

SELLERS = int(os.environ.get("WEB_SELLERS", "2000"))
CASES = int(os.environ.get("WEB_CASES", "50"))
ROUNDS = 40
BADGES = 2_000
PAGES = {
    "queue": "/queue",
    "case": "/cases/planted-0",
    "seller": "/sellers/s7",
    "what_if": "/sellers/s7/if?violation=v7-0&action=confirm",
    "operations": "/operations",
}


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {
        "weight.css_bytes": float(len(STYLESHEET)),
        "weight.script_bytes": float(len(SCRIPT)),
        "sellers": float(SELLERS),
    }
    with _world() as (client, site):
        for part in (_pages, _badges):
            figures |= part(site)
            say(f"{part.__name__[1:]} measured")
        if CHROMIUM is not None:
            figures |= _keyboard_run(client, site)
    return figures


@contextmanager
def _world() -> Iterator[tuple[Client, Site]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_server(folder, artifact=artifact()) as running, running.client() as client:
            fill(running.ledger, SELLERS)
            client.append_entries(MARKET, [_planted(number) for number in range(CASES)])
            with desk_site(client, folder) as site:
                yield client, site


def _planted(number: int) -> Entry:
    entry = violation(f"planted-{number}", f"s{number}", violation_type="unsafe_product", listing=f"l-{number}")
    entry.violation.brand = "fake" if number % 2 else "genuine"
    return entry


def _pages(site: Site) -> dict[str, float]:
    someone = person(site)
    figures: dict[str, float] = {}
    for name, path in PAGES.items():
        assert someone.get(path).status == 200, path
        waits = [_timed(partial(someone.get, path)) for _ in range(ROUNDS)]
        figures |= {f"page_ms.{name}.p50": _ms(waits, 49), f"page_ms.{name}.p99": _ms(waits, 98)}
    return figures


def _badges(site: Site) -> dict[str, float]:
    someone = Person(site.server.address)
    waits = [_timed(partial(someone.get, f"/badge/{MARKET}/s{number % 50}.svg")) for number in range(BADGES)]
    return {"badges.requests_per_second": BADGES / sum(waits), "badges.p99_ms": _ms(waits, 98)}


def _keyboard_run(client: Client, site: Site) -> dict[str, float]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://{site.server.desk_address}/sign-in?code={CODE}")
        page.get_by_label("Working name").fill("keys-1")
        page.keyboard.press("Enter")
        page.wait_for_url("**/queue")
        found = len(Axe().run(page).response["violations"])
        page.keyboard.press("n")
        page.wait_for_url("**/cases/*")
        found += len(Axe().run(page).response["violations"])
        decided = [_decide(page) for _ in range(CASES)]
        browser.close()
    until = time.monotonic() + PATIENCE_SECONDS
    while (correct := sum(_is_right(client, name, is_fake) for name, is_fake, _, _ in decided)) < CASES:
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    return {
        "handling_s.median": statistics.median(seconds for *_, seconds in decided),
        "keys_per_case": statistics.mean(keys for _, _, keys, _ in decided),
        "mouse": 0.0,
        "planted.correct": correct / CASES,
        "tasks.clicked": float(len(decided)),
        "tasks.failed": float(CASES - len(decided)),
        "axe.violations": float(found),
    }


def _decide(page: Page) -> tuple[str, bool, int, float]:
    began, url = time.perf_counter(), page.url
    name = url.rpartition("/")[2]
    is_fake = page.get_by_role("definition").filter(has_text=re.compile("^fake$")).count() > 0
    keys = ["1" if is_fake else "5", "Enter", "Enter"]
    page.keyboard.press(keys[0])
    page.keyboard.press(keys[1])
    page.wait_for_url("**/consequence")
    page.keyboard.press(keys[2])
    page.wait_for_url(lambda now: not now.endswith("/consequence") and now != url)
    return name, is_fake, len(keys), time.perf_counter() - began


def _is_right(client: Client, name: str, is_fake: bool) -> bool:
    wanted = VIOLATION_STATUS_CONFIRMED if is_fake else VIOLATION_STATUS_DISMISSED
    return bool(client.get_violation(MARKET, name).status == wanted)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _ms(waits: list[float], cut: int) -> float:
    return 1_000 * statistics.quantiles(waits, n=100)[cut]
