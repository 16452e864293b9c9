import base64
import hashlib
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sellertrust.client import Client, seller_name
from sellertrust.v1.entry_pb2 import IDENTITY_LEVEL_NONE, TIER_EXEMPLARY, TIER_TRUSTED, Entry
from service.demo_cast import ACCUSED, GOOD
from service.web.desk.app import DeskOptions
from service.web.pages import BADGE_SCRIPT
from service.web.public.seller import SellerPages
from service.web.server import BadgeServer, Options
from tests.helpers.servers import MARKET, Running, days_ago, exposure, identity, running_server, violation
from tests.helpers.worlds import artifact

NO_BADGE = ("low", "new", "stranger")
INTEGRITY = "sha384-" + base64.b64encode(hashlib.sha384(BADGE_SCRIPT).digest()).decode()
"""A browser runs only the script with this `integrity`."""


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return {key.lower(): value for key, value in self.headers}.get(name.lower())

    def without_date(self) -> tuple[int, list[tuple[str, str]], bytes]:
        return self.status, [(key, value) for key, value in self.headers if key != "date"], self.body


@dataclass
class Site:
    server: BadgeServer
    reports: list[str]

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.server.address, timeout=30)
        try:
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            found = connection.getresponse()
            return Answer(found.status, [(k.lower(), v) for k, v in found.getheaders()], found.read())
        finally:
            connection.close()


@contextmanager
def badge_site(
    client: Client, desk: DeskOptions | None = None, sellers: SellerPages | None = None, **options: Any
) -> Iterator[Site]:
    reports: list[str] = []
    server = BadgeServer(client, Options(address="127.0.0.1:0", **options), reports.append, desk, sellers)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Site(server, reports)
    finally:
        server.stop()
        thread.join()


@contextmanager
def filled_server(folder: Path, **settings: Any) -> Iterator[Running]:
    with running_server(folder, artifact=artifact(), **settings) as running, running.client() as client:
        fill(client)
        yield running


def fill(client: Client) -> None:
    badges = {"best": TIER_EXEMPLARY, GOOD.seller: TIER_EXEMPLARY, "good": TIER_TRUSTED, ACCUSED.seller: TIER_TRUSTED}
    entries = [fact for name in (*badges, "low") for fact in (identity(f"i-{name}", name), _sold(name))]
    newcomer = Entry(entry_id="i-new", seller=seller_name(MARKET, "new"))
    newcomer.identity.level = IDENTITY_LEVEL_NONE
    newcomer.occur_time.FromDatetime(days_ago(2))
    entries += [newcomer, violation("v-low", "low")]
    entries += [_override(name, tier) for name, tier in badges.items()]
    client.append_entries(MARKET, entries)
    client.confirm_violation(MARKET, "v-low", actor="judge", reason="test buy")


def _sold(seller: str) -> Entry:
    return exposure(f"x-{seller}", seller, 2_000)


def _override(seller: str, tier: Any) -> Entry:
    entry = Entry(entry_id=f"o-{seller}", seller=seller_name(MARKET, seller))
    entry.override.tier = tier
    entry.override.actor = "ops"
    entry.override.reason = "a test"
    entry.override.until.FromDatetime(datetime.now(UTC) + timedelta(days=7))
    return entry
