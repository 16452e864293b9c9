import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from sellertrust.client import Client
from service.web.desk.app import DeskOptions
from service.web.desk.staff import CodeSignIn
from service.web.public.seller import SellerPages
from tests.helpers.badge_sites import Answer, Site, badge_site
from tests.helpers.servers import MARKET, PATIENCE_SECONDS

CODE = "a-code-of-tests"


@dataclass
class Person:
    """Keeps its cookie, as a browser does."""

    address: str
    cookie: str = ""
    csrf: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, None, {})

    def post(self, path: str, given: dict[str, str] | None = None, **headers: str) -> Answer:
        """Send a form with the token of the page seen last."""
        return self._ask("POST", path, urlencode({"csrf": self.csrf} | (given or {})), headers)

    def sign_in(self, name: str, code: str = CODE) -> Answer:
        self.get(f"/sign-in?code={code}")
        return self.post("/sign-in", {"code": code, "name": name})

    def send(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        return self._ask(method, path, body, {"Content-Type": content_type})

    def _ask(self, method: str, path: str, body: str | bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            sent["Cookie"] = self.cookie
        if body is not None:
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        try:
            connection.request(method, path, body, sent)
            found = connection.getresponse()
            answer = Answer(found.status, [(k.lower(), v) for k, v in found.getheaders()], found.read())
        finally:
            connection.close()
        if shown := answer.header("set-cookie"):
            self.cookie = shown.partition(";")[0]
        if token := re.search(rb'name="csrf" value="(\w+)"', answer.body):
            self.csrf = token[1].decode()
        return answer


@contextmanager
def desk_site(
    client: Client, folder: Path, marketplace: str = MARKET, evidence: str = "", sellers: SellerPages | None = None
) -> Iterator[Site]:
    sign_in = CodeSignIn(client, CODE)
    desk = DeskOptions("127.0.0.1:0", sign_in, marketplace, folder / "desk.db", evidence=evidence)
    with badge_site(client, desk, sellers, call_seconds=PATIENCE_SECONDS) as site:
        yield site


def person(site: Site, name: str = "reviewer-1") -> Person:
    made = Person(site.server.desk_address)
    assert made.sign_in(name).status == 303
    return made
