import json
import socket
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sellertrust.client import Client
from service.web import badges
from service.web.badges import BadgeRow
from tests.helpers.badge_sites import Site, badge_site, filled_server
from tests.helpers.limits import Limit
from tests.helpers.proxies import Proxy
from tests.helpers.servers import PATIENCE_SECONDS, running_server

pytestmark = pytest.mark.long


def badge(site: Site, seller: str) -> str | None:
    found = json.loads(site.get(f"/badge/acme.json?seller={seller}").body)["badges"].get(seller)
    return found and found["badge"]


def test_kept_badges_are_shown_while_the_server_is_away(tmp_path: Path, limit: Limit) -> None:
    limit(badges, FRESH_SECONDS=0.0)
    with filled_server(tmp_path) as running:
        proxy = Proxy(running.address)
        address = proxy.address
        with Client(address) as client, badge_site(client) as site:
            while badge(site, "best") is None:
                pass
            before = site.get("/badge/acme/best.svg")
            assert badge(site, "low") is None
            proxy.close()
            away = [site.get("/badge/acme/best.svg") for _ in range(3)]
            assert [answer.body for answer in away] == [before.body] * 3
            assert away[0].header("cache-control") == "public, max-age=60"
            unknown = site.get("/badge/acme/good.svg")
            assert unknown.body == site.get("/badge/acme/low.svg").body
            assert unknown.header("cache-control") == "public, max-age=5"
            assert len(site.reports) == 1
            back = Proxy(running.address, port=int(address.rpartition(":")[2]))
            with closing(back):
                while badge(site, "good") is None:
                    threading.Event().wait(0.05)
            assert site.reports[1] == "the server answers again"


def test_health_is_that_of_the_server_now(tmp_path: Path) -> None:
    with running_server(tmp_path) as running:
        proxy = Proxy(running.address)
        address = proxy.address
        with Client(address) as client, badge_site(client, call_seconds=PATIENCE_SECONDS) as site:
            assert server_of(site) == "answers"
            proxy.close()
            while server_of(site) == "answers":
                threading.Event().wait(0.05)
            with closing(Proxy(running.address, port=int(address.rpartition(":")[2]))):
                while server_of(site) == "away":
                    threading.Event().wait(0.05)
            assert site.reports == []
            assert not site.server.badges.counts.asked


def server_of(site: Site) -> str:
    return str(json.loads(site.get("/health").body)["server"])


def test_a_silent_server_keeps_no_badge_from_being_shown() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Client(f"127.0.0.1:{silent.getsockname()[1]}") as client,
        badge_site(client) as site,
    ):
        then = time.monotonic() - 60
        site.server.badges._sellers.put(("acme", "best"), BadgeRow("exemplary", then, then, datetime.now(UTC)))
        assert badge(site, "best") == "exemplary"
        assert badge(site, "good") is None
        while not site.server.badges.is_away:
            threading.Event().wait(0.05)
        assert badge(site, "best") == "exemplary"
        assert server_of(site) == "away"


def test_the_report_of_a_server_that_is_away_names_no_seller() -> None:
    with Client("127.0.0.1:1", deadline_seconds=0.2) as client, badge_site(client) as site:
        site.get("/badge/acme/wang-fang.svg")
        assert len(site.reports) == 1
        assert "wang" not in site.reports[0]
