"""The desk: a keyboard run of cases in Chromium, attacks, pages by HTTP, weights, and badges beside it.

The run measures the machine, not a person's reading. `WEB_SELLERS` and `WEB_CASES` change the sizes; `WEB_LEDGER` names
a ledger to copy, with s7 and v7-0 in acme, without the keyboard run. `p99_of_4`: of CLIENTS at once.
"""

import hashlib
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright
from playwright.sync_api import TimeoutError as TooSlow

from sellertrust.client import Client
from sellertrust.v1.entry_pb2 import VIOLATION_STATUS_CONFIRMED, VIOLATION_STATUS_DISMISSED, Entry
from service.web.frame.rendering import SCRIPT, STYLESHEET
from service.web.public.evidence import EvidenceFolder
from service.web.public.seller import SellerPages
from tests.bench._real_data import Say
from tests.helpers.badge_sites import Answer, Site
from tests.helpers.chromium import CHROMIUM
from tests.helpers.desk_sites import CODE, Person, desk_site, person
from tests.helpers.filled import fill
from tests.helpers.servers import MARKET, PATIENCE_SECONDS, running_server, violation
from tests.helpers.worlds import artifact

SELLERS = int(os.environ.get("WEB_SELLERS", "2000"))
CASES = int(os.environ.get("WEB_CASES", "50"))
LEDGER = os.environ.get("WEB_LEDGER", "")
ROUNDS, CLIENTS = 100, 4
BADGES = 2_000
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><circle cx="9" cy="9" r="8" fill="teal"/></svg>'
SCRIPT_TEXT = "<script>alert(1)</script>"
PAGES = {
    "search": "/search?q=s7",
    "search_violation": "/search?q=v7-0",
    "queue": "/queue",
    "queue_filtered": "/queue?category=CATEGORY_SAFETY&sort=reported&page=2",
    "case": "/cases/planted-0",
    "seller": "/sellers/s7",
    "entries": "/sellers/s7/entries",
    "what_if": "/sellers/s0/if?violation=planted-0&action=confirm",
    "bulk": "/bulk",
    "operations": "/operations",
}


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {
        "weight.css_bytes": float(len(STYLESHEET)),
        "weight.script_bytes": float(len(SCRIPT)),
        "sellers": float(SELLERS),
    }
    with tempfile.TemporaryDirectory() as name, _world(Path(name)) as (client, site):
        for part in (_pages, _badges, _attacks):
            figures |= part(site)
            say(f"{part.__name__[1:]} measured")
        if CHROMIUM is not None and not LEDGER:
            figures |= _keyboard_run(client, site)
    return figures


@contextmanager
def _world(folder: Path) -> Iterator[tuple[Client, Site]]:
    evidence = folder / "evidence"
    evidence.mkdir()
    (evidence / "a.svg").write_bytes(PICTURE)
    if LEDGER:
        shutil.copy(LEDGER, folder / "ledger.db")
    with running_server(folder, artifact=artifact()) as running, running.client() as client:
        if not LEDGER:
            fill(running.ledger, SELLERS)
        client.append_entries(MARKET, [_planted(number, evidence) for number in range(CASES)])
        sellers = SellerPages(client, None, EvidenceFolder(evidence))
        with desk_site(client, folder, evidence=str(evidence), sellers=sellers) as site:
            yield client, site


def _planted(number: int, evidence: Path) -> Entry:
    entry = violation(f"planted-{number}", f"s{number}", violation_type="unsafe_product", listing=f"l-{number}")
    entry.violation.brand = "fake" if number % 2 else "genuine"
    entry.violation.evidence_uri = f"{evidence}/a.svg"
    entry.violation.evidence_sha256 = hashlib.sha256(PICTURE).hexdigest()
    return entry


def _pages(site: Site) -> dict[str, float]:
    someone = person(site)
    figures: dict[str, float] = {}
    for name, path in PAGES.items():
        figures |= _time_page(name, partial(someone.get, path))
    figures |= _time_page("own", partial(site.get, f"/my/{MARKET}/s7"))
    return figures | _time_page("report", partial(site.get, f"/report/{MARKET}/{datetime.now(UTC):%Y}.html"))


def _time_page(name: str, get: Callable[[], Answer]) -> dict[str, float]:
    first, answer = _timed(get)
    began = time.monotonic()
    while answer.status == 503 and time.monotonic() < began + 10 * PATIENCE_SECONDS:
        answer = get()
    ready = first + time.monotonic() - began
    assert answer.status in (200, 303), (name, answer.status)
    began = time.process_time()
    waits = [_timed(get)[0] for _ in range(ROUNDS)]
    used = (time.process_time() - began) / ROUNDS
    with ThreadPoolExecutor(CLIENTS) as pool:
        together = [wait for wait, _ in pool.map(lambda _: _timed(get), range(ROUNDS))]
    return {
        f"page_ms.{name}.first": 1_000 * first,
        f"page_s.{name}.ready": ready,
        f"page_ms.{name}.p99_of_{CLIENTS}": _ms(together, 98),
        f"page_ms.{name}.p50": _ms(waits, 49),
        f"page_ms.{name}.p99": _ms(waits, 98),
        f"page_cpu_ms.{name}": 1_000 * used,
    }


def _badges(site: Site) -> dict[str, float]:
    someone = Person(site.server.address)
    waits = [_timed(partial(someone.get, f"/badge/{MARKET}/s{number % 50}.svg"))[0] for number in range(BADGES)]
    return {"badges.requests_per_second": BADGES / sum(waits), "badges.p99_ms": _ms(waits, 98)}


def _is_open(answer: Answer) -> bool:
    return answer.status == 200 and b"Sign out" in answer.body


def _was_taken(answer: Answer) -> bool:
    return answer.status in (200, 303)


def _shows_script(answer: Answer) -> bool:
    return SCRIPT_TEXT.encode() in answer.body


def _attacks(site: Site) -> dict[str, float]:
    someone, stranger = person(site), Person(site.server.desk_address)
    someone.get("/queue")
    other, fixed, framed = person(site, "other"), Person(stranger.address), Person(stranger.address)
    fixed.cookie = "desk=chosen-by-another"
    fixed.sign_in("fixed")
    framed.cookie = someone.cookie
    framed.csrf = someone.csrf
    stolen, refused = Person(stranger.address, cookie="desk=" + "x" * 43), Person(stranger.address)
    attacks: list[tuple[Callable[[], Answer], Callable[[Answer], bool]]] = [
        (partial(stranger.get, "/queue"), _is_open),
        (partial(stolen.get, "/queue"), _is_open),
        (partial(refused.sign_in, "intruder", code="guessed"), _was_taken),
        (partial(Person(stranger.address, cookie="desk=chosen-by-another").get, "/queue"), _is_open),
        (partial(framed.post, "/queue/next", Sec_Fetch_Site="cross-site"), _was_taken),
        (partial(someone.post, "/queue/next", {"csrf": other.csrf}), _was_taken),
        (partial(someone.post, "/queue/next", {"csrf": ""}), _was_taken),
        (partial(Person(stranger.address, someone.cookie, headers={"Host": "evil.example"}).get, "/queue"), _is_open),
        (partial(someone.get, "/search?q=%3Cscript%3Ealert(1)%3C/script%3E"), _shows_script),
        (partial(someone.get, "/sellers/%3Cscript%3Ealert(1)%3C%2Fscript%3E"), _shows_script),
        (partial(someone.get, "/queue?seller=%3Cscript%3Ealert(1)%3C/script%3E"), _shows_script),
        (partial(someone.get, "/policy/papers/..%2f..%2fdesk.db"), _was_taken),
        (partial(someone.get, "/cases/..%2f..%2fetc%2fpasswd"), _was_taken),
        (partial(someone.post, "/decisions/desk-none/undo"), _was_taken),
        (partial(someone.post, "/cases/planted-0/decide", {"id": "mine"}), _was_taken),
        (partial(someone.post, "/bulk/execute", {"request": '{"parent": "marketplaces/acme"}'}), _was_taken),
        (partial(someone.post, "/search", {"q": "x" * (300 << 10)}), _was_taken),
    ]
    through = [number for number, (attack, gave_way) in enumerate(attacks) if gave_way(attack())]
    through += [len(attacks)] if fixed.cookie == "desk=chosen-by-another" else []
    return {"attacks.tried": float(len(attacks) + 1), "attacks.through": float(len(through))}


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
        decided, failed = [], 0
        for _ in range(CASES):
            try:
                decided.append(_decide(page))
            except TooSlow:
                failed += 1
        browser.close()
    until = time.monotonic() + PATIENCE_SECONDS
    while (correct := sum(_is_right(client, name, is_fake) for name, is_fake, _, _ in decided)) < len(decided):
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    return {
        "handling_s.median": statistics.median(seconds for *_, seconds in decided),
        "keys_per_case": statistics.mean(keys for _, _, keys, _ in decided),
        "mouse": 0.0,
        "planted.correct": correct / CASES,
        "tasks.clicked": float(CASES),
        "tasks.failed": float(failed),
        "axe.violations": float(found),
    }


def _decide(page: Page) -> tuple[str, bool, int, float]:
    began, url = time.perf_counter(), page.url
    name = url.rpartition("/")[2]
    is_fake = page.get_by_role("definition").filter(has_text=re.compile("^fake$")).count() > 0
    page.keyboard.press("o")
    page.get_by_role("img", name="Evidence of the report").wait_for()
    keys = ["1" if is_fake else "5", "Enter", "Enter"]
    page.keyboard.press(keys[0])
    page.keyboard.press(keys[1])
    page.wait_for_url("**/consequence")
    page.keyboard.press(keys[2])
    page.wait_for_url(lambda now: not now.endswith(("/consequence", f"/{name}")))
    return name, is_fake, 1 + len(keys), time.perf_counter() - began


def _is_right(client: Client, name: str, is_fake: bool) -> bool:
    wanted = VIOLATION_STATUS_CONFIRMED if is_fake else VIOLATION_STATUS_DISMISSED
    return bool(client.get_violation(MARKET, name).status == wanted)


def _timed(call: Callable[[], Answer]) -> tuple[float, Answer]:
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer


def _ms(waits: list[float], cut: int) -> float:
    return 1_000 * statistics.quantiles(waits, n=100)[cut]
