import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from starlette.responses import Response

from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from service.web.desk import calls, governing, seller_file
from service.web.frame.rendering import POLICY, SCRIPT
from service.web.frame.visits import Site as Pages
from service.web.frame.visits import Visitor
from tests.helpers.badge_sites import Site, filled_server
from tests.helpers.builders import link
from tests.helpers.desk_sites import CODE, Person, desk_site, person
from tests.helpers.limits import Limit
from tests.helpers.policies import GRADED
from tests.helpers.proxies import Proxy
from tests.helpers.servers import MARKET, Running, violation

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with filled_server(tmp_path_factory.mktemp("desk")) as running:
        yield running


@pytest.fixture(scope="module")
def desk(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running.client() as client, desk_site(client, tmp_path_factory.mktemp("journal")) as site:
        yield site


def test_a_sign_in_takes_the_code_and_a_new_session(desk: Site) -> None:
    someone = Person(desk.server.desk_address)
    assert someone.get("/sellers/best").header("location") == "/sign-in?next=/sellers/best"
    assert someone.sign_in("reviewer-1", "another-code").status == 400
    fixed = someone.cookie = "desk=chosen-by-another"
    answer = someone.sign_in("reviewer-1")
    assert answer.status == 303
    assert someone.cookie != fixed
    assert "HttpOnly; SameSite=Lax" in (answer.header("set-cookie") or "")
    assert someone.get("/sellers/best").status == 200
    assert Person(desk.server.desk_address, fixed).get("/sellers/best").status == 303


def test_a_sign_in_leads_back_to_a_page_with_its_query(desk: Site) -> None:
    someone = Person(desk.server.desk_address)
    assert someone.get("/search?q=best").header("location") == "/sign-in?next=/search%3Fq%3Dbest"
    assert someone.post("/sign-out").header("location") == "/sign-in?next=/"  # a form's address shows no page


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_sign_in_leads_to_no_other_site(desk: Site, after: str) -> None:
    someone = Person(desk.server.desk_address)
    someone.get("/sign-in")
    answer = someone.post("/sign-in", {"code": CODE, "name": "reviewer-1", "next": after})
    assert answer.header("location") == "/"


def test_a_form_of_another_site_or_session_is_refused(desk: Site) -> None:
    someone, other = person(desk), person(desk, "reviewer-2")
    someone.get("/search")
    other.get("/search")
    assert someone.post("/sign-out", Sec_Fetch_Site="cross-site").status == 403
    mine, someone.csrf = someone.csrf, other.csrf
    assert someone.post("/sign-out").status == 403
    assert someone.get("/search").status == 200
    someone.csrf = mine
    assert someone.post("/sign-out").status == 303
    assert someone.get("/search").status == 303


def test_a_form_too_long_is_told_its_own_limit() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * (2_048 + 1)}

    async def send(message: Any) -> None:
        sent.append(message)

    with Client("127.0.0.1:1") as client:
        pages = Pages(lambda _: Visitor("", "", client), lambda _: Response(), print)
        route = pages.route("/", lambda _: Response(), ("POST",), 2_048)
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
        asyncio.run(route.handle(scope, receive, send))
    assert sent[0]["status"] == 413
    assert b"Shorten it to 2 kB." in sent[1]["body"]


def test_another_hosts_name_leads_nowhere(desk: Site) -> None:
    someone = person(desk)
    someone.headers["Host"] = "evil.example:8081"
    assert someone.get("/search").status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::1]:8081"])
def test_a_host_of_this_machine_needs_no_port(desk: Site, host: str) -> None:
    """A browser sends none for port 80."""
    someone = person(desk)
    someone.headers["Host"] = host
    assert someone.get("/search").status == 200


def test_every_page_has_the_strict_policy_and_no_inline_code(desk: Site) -> None:
    someone = person(desk)
    for path in ("/search", "/sellers/best", "/sellers/stranger", "/nothing", "/sign-in"):
        answer = someone.get(path)
        assert answer.header("content-security-policy") == POLICY
        assert answer.header("cache-control") == "no-store"
        assert not re.search(rb"<script(?! src=)|style=|\son\w+=|javascript:", answer.body)
    assert len(SCRIPT) <= 5_000


@pytest.mark.parametrize("place", ["/search?q={}", "/sellers/{}", "/{}", "/sign-in?code={}", "/sign-in?next={}"])
def test_script_in_an_address_is_shown_as_text(desk: Site, place: str) -> None:
    answer = person(desk).get(place.format("%3Cscript%3Ealert(1)%3C/script%3E%22%27"))
    assert HOSTILE.encode() not in answer.body


def test_the_credit_file_shows_points_that_add_up(desk: Site, running: Running) -> None:
    shown = person(desk).get("/sellers/low").body.decode()
    with running.client() as client:
        answer = client.explain_trust_score(MARKET, "low")
    total = answer.baseline_points + sum(reason.points for reason in answer.reasons)
    assert f'<div class="points">{total}</div>' in shown
    assert shown.count('<td class="bars">') == 1 + len(answer.reasons)
    for counted in ("incidents: 1<", "level: business<"):
        assert counted in shown
    assert 'id="v-v-low"' in shown
    assert "Confirmed" in shown


def test_a_search_finds_sellers_and_violations(desk: Site) -> None:
    someone = person(desk)
    assert someone.get("/search?q=best").header("location") == "/sellers/best"
    assert someone.get("/search?q=v-low").header("location") == "/sellers/low?violation=v-low#violations"
    missing = someone.get("/search?q=nobody")
    assert missing.status == 404
    assert b'<a href="#q">No seller and no violation has the id nobody</a>' in missing.body


def test_violations_of_a_file_filter_and_page(desk: Site, running: Running) -> None:
    with running.client() as client:
        client.append_entries(MARKET, [violation(f"page-{n}", "new", incident=f"p-{n}") for n in range(35)])
    someone = person(desk)
    pages = {"": 30, "?page=2": 5, "?violation=page-3": 1, "?status=VIOLATION_STATUS_CONFIRMED": 0}
    for query, number in pages.items():
        assert someone.get(f"/sellers/new{query}").body.count(b'<tr id="v-page-') == number
    assert b", 35 times" in someone.get("/sellers/new").body
    assert someone.get(f"/sellers/new?page={'9' * 5_000}").status == 200


def test_the_file_simulates_and_replays(desk: Site, running: Running) -> None:
    someone = person(desk)
    shown = someone.get("/sellers/low").body.decode()
    supposed = someone.get("/sellers/low/if?violation=v-low&action=overturn").body.decode()
    with running.client() as client:
        answer = client.simulate_trust_score(MARKET, "low", overturned=["v-low"])
    assert f"{answer.present.points} become {answer.simulated.points}" in supposed
    [replay] = re.findall(r'href="(/sellers/low/replay[^"]+)"', shown)
    assert b"All its ingredients are there" in someone.get(replay.replace("&amp;", "&")).body
    assert someone.get("/sellers/low/replay?observe_time=x").status == 400


def test_every_entry_is_listed_page_by_page(desk: Site, running: Running, limit: Limit) -> None:
    limit(seller_file, ENTRIES_ON_PAGE=2)
    someone, path, seen = person(desk), "/sellers/low/entries", []
    while path:
        shown = someone.get(path).body.decode()
        assert "1970" not in shown  # a day's orders state no moment
        seen += re.findall(r'<th scope="row">(\d+)<br>', shown)
        following = re.findall(r'rel="next" href="([^"]+)"', shown)
        path = f"/sellers/low/entries{following[0]}" if following else ""
    with running.client() as client:
        assert seen == [str(entry.sequence) for entry in client.list_entries(MARKET, "low")]
    assert len(seen) > 2


def test_a_file_leads_to_a_picture_of_the_network(desk: Site, running: Running) -> None:
    running.ledger.append(MARKET, [link("l-low", "low", "iban"), link("l-new", "new", "iban")])
    someone = person(desk)
    assert b'href="/sellers/low/network"' in someone.get("/sellers/low").body
    picture = someone.get("/sellers/low/network")
    assert (picture.header("content-type"), picture.header("cache-control")) == ("image/svg+xml", "no-store")
    assert b'aria-label="2 sellers, 1 links"' in picture.body
    assert someone.get("/sellers/good/network").status == 404


def test_no_call_of_a_page_waits_for_another(desk: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of visitors, whose calls hold every thread, would wait without end."""
    someone = person(desk)
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(calls, "_CALLS", pool)
        for path in ("/operations", "/queue", "/sellers/best", "/policy", "/proposals"):
            assert someone.get(path).status == 200, path


def test_a_call_of_a_page_waits_while_the_service_is_busy() -> None:
    answers = ["UNKNOWN_METHOD", "SERVER_BUSY", "TOO_MANY_CALLS"]

    def ask() -> None:
        raise SellertrustCallError(grpc.StatusCode.UNAVAILABLE, "of a test", answers.pop())

    with pytest.raises(SellertrustCallError, match="of a test"):
        calls.start_call(ask).result()
    assert answers == []


def test_policy_proposals_and_operations_are_served(desk: Site) -> None:
    someone = person(desk)
    for path in ("/policy", "/proposals", "/operations", "/record", "/bulk"):
        assert someone.get(path).status == 200, path
    refused = someone.post("/policy/commit", {"text": "name = 1", "reason": "a test", "expected": "head"})
    assert refused.status >= 400
    assert b"Traceback" not in refused.body


def test_the_latest_moves_of_the_policy_stand_first(desk: Site, limit: Limit) -> None:
    limit(governing, MOVES=2)
    someone = person(desk)
    [head] = re.findall(r'name="expected" value="(\w+)"', someone.get("/policy").body.decode())
    changed = {"text": GRADED.read_text(), "reason": "the second", "expected": head}
    assert someone.post("/policy/commit", changed).status == 303
    [head] = re.findall(r'name="expected" value="(\w+)"', someone.get("/policy").body.decode())
    assert someone.post("/policy/roll-back", {"reason": "the third", "policy": head}).status == 303
    shown = re.findall(r'data-label="Reason">([^<]+)', someone.get("/policy").body.decode())
    assert shown == ["the third", "the second"]


def test_later_reports_of_a_seller_are_a_link_away(running: Running, desk: Site, limit: Limit) -> None:
    limit(seller_file, MARKED_ENTRIES=2)
    with running.client() as client:
        client.append_entries(MARKET, [violation(f"v-many-{number}", "good") for number in range(5)])
    someone, path, seen = person(desk), "/sellers/good", []
    while path:
        body = someone.get(path).body.decode()
        seen += re.findall('id="v-(v-many-[0-9])"', body)
        later = re.search(r'href="(\?part=[^"#]+)#violations">Later', body)
        path = f"/sellers/good{later[1]}" if later else ""
    assert sorted(seen) == [f"v-many-{number}" for number in range(5)]
    assert b"v-v-many-0" in someone.get("/sellers/good?part=&violation=v-many-0").body


def test_pages_say_that_the_service_is_away_and_show_the_last(tmp_path: Path) -> None:
    with filled_server(tmp_path) as running:
        proxy = Proxy(running.address)
        with Client(proxy.address, deadline_seconds=5.0) as client, desk_site(client, tmp_path) as site:
            someone = person(site)
            before = someone.get("/sellers/best").body.decode()
            proxy.close()
            after = someone.get("/sellers/best")
            assert after.status == 503
            assert "The service does not answer" in after.body.decode()
            assert re.findall('class="points">[^<]+', before)[0] in after.body.decode()
            assert person(site, "reviewer-2").get("/sellers/best").body.count(b'class="points"') == 0
            with closing(Proxy(running.address, port=int(client.target.rpartition(":")[2]))):
                while someone.get("/sellers/best").status != 200:
                    threading.Event().wait(0.05)
