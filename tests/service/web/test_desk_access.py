import http.client
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from sellertrust.client import Client
from service.web.desk.app import DeskOptions
from service.web.desk.staff import ProxySignIn
from service.web.frame import clients
from service.web.frame.clients import TokenClients
from tests.helpers.badge_sites import Site, badge_site, fill
from tests.helpers.callers import Authority, Shown, TokenIssuer, grant, write_grants
from tests.helpers.limits import Limit
from tests.helpers.servers import MARKET, PATIENCE_SECONDS, running_server
from tests.helpers.worlds import artifact

READS = ["read_scores", "explain", "read_ledger", "read_measures"]


@dataclass
class World:
    site: Site
    authority: Authority
    issuer: TokenIssuer
    proxy: Shown
    folder: Path

    def get(self, path: str, token: str = "", proxy: Shown | None = None) -> tuple[int, str]:
        context = ssl.create_default_context(cafile=self.authority.ca)
        shown = proxy or self.proxy
        context.load_cert_chain(shown.certificate, shown.key)
        port = int(self.site.server.desk_address.rpartition(":")[2])
        connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            found = connection.getresponse()
            return found.status, found.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("access")
    authority, issuer = Authority(folder), TokenIssuer(folder)
    desk, proxy = authority.certificate(dns=["desk.example"]), authority.certificate(dns=["proxy.example"])
    write_grants(
        folder / "grants.toml",
        issuer.table(),
        grant("dns:desk.example", [*READS, "decide"], entry_ids=["desk-"], actions=["confirm", "dismiss", "review"]),
        grant(
            "jwt:https://login.example#anna", [*READS, "decide"], entry_ids=["desk-"], actions=["confirm", "dismiss"]
        ),
        grant("jwt:https://login.example#bert", ["read_scores", "explain"]),
    )
    settings = authority.server_settings() | {"grants": folder / "grants.toml", "socket": folder / "s"}
    shown = authority.certificate(dns=["localhost"])
    tls = folder / "tls"
    tls.mkdir()
    (tls / "tls.crt").write_bytes(shown.certificate.read_bytes())
    (tls / "tls.key").write_bytes(shown.key.read_bytes())
    (tls / "client-ca.crt").write_bytes(authority.ca.read_bytes())
    with running_server(folder, artifact=artifact(), **settings) as running:
        with Client(f"unix:{folder / 's'}") as client:
            fill(client)
        target = f"localhost:{running.address.rpartition(':')[2]}"

        def make(token: str | None) -> Client:
            read = None if token is None else partial(str, token)
            return Client(target, **desk.options(), token=read, deadline_seconds=PATIENCE_SECONDS)

        options = DeskOptions("127.0.0.1:0", ProxySignIn(TokenClients(make)), MARKET, folder / "desk.db", tls)
        with make(None) as client, badge_site(client, options, call_seconds=PATIENCE_SECONDS) as site:
            yield World(site, authority, issuer, proxy, folder)


def test_a_person_sees_what_its_own_rights_allow(world: World) -> None:
    anna, bert = world.issuer.token("anna"), world.issuer.token("bert")
    code, shown = world.get("/sellers/low", anna)
    assert code == 200
    assert "You may not do this" not in shown
    code, shown = world.get("/sellers/low", bert)
    assert code == 200
    assert "It needs the right read_measures" in shown
    code, shown = world.get("/queue", bert)
    assert code == 403
    assert "It needs the right read_ledger" in shown


def test_papers_of_the_policy_need_the_right_to_read_it(world: World) -> None:
    papers = world.folder / "papers"
    papers.mkdir()
    (papers / "may.txt").write_text("12 sellers move")
    code, shown = world.get("/policy/papers/may.txt", world.issuer.token("anna"))
    assert (code, "It needs the right read_policies" in shown, "12 sellers" in shown) == (403, True, False)


def test_refused_tokens_take_nobodys_place(world: World, limit: Limit) -> None:
    limit(clients, MAX_CLIENTS=5)
    for _ in range(6):
        assert world.get("/search", world.issuer.token("anna", seconds=-60))[0] == 401
    for name in ("anna", "bert"):
        assert world.get("/search", world.issuer.token(name))[0] == 200


def test_forged_expired_and_foreign_tokens_open_nothing(world: World, tmp_path: Path) -> None:
    stranger = TokenIssuer(tmp_path)
    tokens = [
        "",
        "none",
        stranger.token("anna"),
        world.issuer.token("anna", seconds=-60),
        world.issuer.token("anna", aud="another"),
        world.issuer.token("anna", iss="https://other.example"),
        world.issuer.token("anna")[:-4] + "AAAA",
    ]
    for token in tokens:
        for path in ("/sellers/low", "/record", "/queue"):
            code, shown = world.get(path, token)
            assert code in (401, 503), token  # a server may hold off a flood of wrong tokens
            assert "points" not in shown


def test_only_the_proxy_reaches_the_desk(world: World, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "other").certificate(dns=["proxy.example"])
    with pytest.raises((ssl.SSLError, OSError)):
        world.get("/queue", world.issuer.token("anna"), stranger)


def test_the_pseudonym_is_the_same_at_each_sign_in(world: World) -> None:
    names = {re.findall(r"staff-\w+", world.get("/search", world.issuer.token("anna"))[1])[0] for _ in range(2)}
    assert len(names) == 1
    assert names.isdisjoint(re.findall(r"staff-\w+", world.get("/search", world.issuer.token("bert"))[1]))
