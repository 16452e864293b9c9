import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from scoring.answers import forecast
from scoring.entries.kinds.common import MAX_REASON
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.v1 import entry_pb2
from sellertrust.v1.trust_score_service_pb2 import AUDIENCE_SELLER
from service.web.frame.clients import TokenClients
from service.web.public.evidence import MAX_BYTES, MAX_DOCUMENTS, EvidenceFolder
from service.web.public.seller import TEXTS, SellerPages
from tests.helpers.badge_sites import Answer, Site, badge_site
from tests.helpers.callers import grant
from tests.helpers.desk_sites import Person
from tests.helpers.granted import EVERY, Granted, granted_server
from tests.helpers.limits import Limit
from tests.helpers.servers import MARKET, PATIENCE_SECONDS, exposure, identity, running_server, violation
from tests.helpers.worlds import artifact

SCRIPT = "<script>alert(1)</script>"
PDF = b"%PDF-1.7 an invoice \xff\x00\r\n--not-a-boundary"
SAID: Any = {"actor": "staff", "reason": "seen"}


@dataclass
class World:
    callers: Granted
    site: Site
    owner: Client
    evidence: Path

    def token(self, seller: str, seconds: float = 600) -> str:
        return self.callers.issuer.token(f"seller/{seller}", seconds=seconds)

    def person(self, seller: str, token: str = "", **headers: str) -> tuple[Person, Answer]:
        made = Person(self.site.server.address, headers=headers)
        place = f"/my/{MARKET}/{seller}/sign-in?lang=en"
        made.get(f"{place}&token=x")
        return made, made.post(place, {"token": token or self.token(seller)})

    def entries(self, seller: str) -> list[entry_pb2.Entry]:
        return [*self.owner.list_entries(MARKET, seller)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("seller")
    issuer = "jwt:https://login.example#seller/*"
    tables = [
        grant(issuer, ["read_own"], sellers=["@"]),
        grant(
            "dns:web.example",
            ["read_scores", "read_own", "append", "decide"],
            kinds=["complaint", "remediation"],
            entry_ids=["page-"],
            actions=["appeal"],
        ),
        *(grant(f"dns:{name}.example", ["append", "decide", "read_ledger"], **EVERY) for name in ("brand", "owner")),
    ]
    with (
        granted_server(folder, *tables, artifact=artifact()) as callers,
        callers("owner") as owner,
        callers("brand") as brand,
    ):
        for seller in ("s1", "s2"):
            brand.append_entries(
                MARKET,
                [
                    identity(f"i-{seller}", seller),
                    exposure(f"x-{seller}", seller, 30),
                    violation(f"v-{seller}", seller, ground=SCRIPT, listing="l-1"),
                    violation(f"w-{seller}", seller, incident="other"),
                ],
            )
            for name in ("v", "w"):
                owner.confirm_violation(MARKET, f"{name}-{seller}", **SAID)
        with callers("web") as web:
            shown = callers.shown("web").options()

            def make(token: str | None) -> Client:
                return callers.running.client(**shown, token=lambda: token or "")

            evidence = folder / "evidence"
            pages = SellerPages(web, TokenClients(make), EvidenceFolder(evidence))
            with badge_site(web, sellers=pages, call_seconds=PATIENCE_SECONDS) as site:
                yield World(callers, site, owner, evidence)


def send_file(person: Person, path: str, content: bytes, **fields: str) -> Answer:
    parts = [
        f'--b0\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in ({"csrf": person.csrf} | fields).items()
    ]
    head = b'--b0\r\nContent-Disposition: form-data; name="file"; filename="../../etc/x"\r\nContent-Type: text/html\r\n\r\n'
    return person.send(
        "POST", path, b"".join([*parts, head, content, b"\r\n--b0--\r\n"]), "multipart/form-data; boundary=b0"
    )


def once(answer: Answer) -> str:
    found = re.search(rb'name="once" value="(\w+)"', answer.body)
    assert found is not None
    return found[1].decode()


def test_a_seller_sees_what_is_held_and_what_to_do(world: World) -> None:
    person, opened = world.person("s1")
    assert (opened.status, opened.header("location")) == (303, f"/my/{MARKET}/s1?lang=en")
    assert {"HttpOnly", "Secure", "SameSite=Lax"} <= {
        part.strip() for part in str(opened.header("set-cookie")).split(";")
    }
    page = person.get(f"/my/{MARKET}/s1?lang=en")
    text = page.body.decode()
    for key in ("held", "next", "stand", "way", "contest", "letters"):
        assert TEXTS["en"][key] in text
    assert SCRIPT not in text
    assert "&lt;script&gt;" in text
    assert page.header("cache-control") == "no-store"
    chinese = person.get(f"/my/{MARKET}/s1?lang=zh").body.decode()
    assert '<html lang="zh">' in chinese
    assert TEXTS["zh"]["held"] in chinese
    letters = re.findall(rf'href="(/my/{MARKET}/s1/letters/[^"]+)"', text)
    assert person.get(letters[0].replace("&amp;", "&")).status == 200
    exported = json.loads(person.get(f"/my/{MARKET}/s1/export.json").body)
    assert set(exported) == {"score", "letters", "path"}
    kinds = {one["title"]: one["kind"] for one in exported["letters"]["statements"]}
    shown = [kinds[html.unescape(title)] for title in re.findall(r"<h3>(.*?)</h3>", text)]
    assert shown[:2] == ["MEASURE_KIND_SUSPENSION", "MEASURE_KIND_DELIVERY_HOLD"]
    assert len(shown) == len(kinds) > 2


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::1]:8081"])
def test_a_page_of_the_demo_needs_no_port(world: World, host: str) -> None:
    with world.callers("web") as web:
        pages = SellerPages(web, None, EvidenceFolder(world.evidence))
        with badge_site(web, sellers=pages, call_seconds=PATIENCE_SECONDS) as site:
            assert site.get(f"/my/{MARKET}/s1/appeal", host=host).status == 200
            assert site.get(f"/my/{MARKET}/s1/appeal", host="shop.example").status == 403


def test_no_page_says_that_nothing_helps_before_all_was_tried(world: World, limit: Limit) -> None:
    person, _ = world.person("s1")
    said, place = TEXTS["en"]["no_way"].encode(), f"/my/{MARKET}/s1?lang=en"
    assert said in person.get(place).body
    limit(forecast, MAX_CELLS=0)
    assert said not in person.get(place).body


def test_no_other_token_opens_a_page(world: World) -> None:
    for token in (
        world.token("s2"),
        world.token("s1", seconds=-3_600),
        world.token("s1")[:-9] + "AAAAAAAAA",
        world.callers.issuer.token("seller/s1/x"),
        world.callers.issuer.token("s1"),
        "no token",
        SCRIPT,
    ):
        person, refused = world.person("s1", token)
        assert refused.status == 401
        assert SCRIPT.encode() not in refused.body
        assert refused.header("set-cookie") is None
        assert person.get(f"/my/{MARKET}/s1").status == 401


def test_a_sign_in_opens_one_page_alone(world: World) -> None:
    person, _ = world.person("s1")
    assert person.get(f"/my/{MARKET}/s1").status == 200
    for path in ("s2", "s2/appeal", "s2/export.json", "s2/letters/x"):
        assert person.get(f"/my/{MARKET}/{path}").status == 403
    assert person.get("/my/elsewhere/s1").status == 403
    before = person.cookie
    assert person.get(f"/my/{MARKET}/s1").status == 200
    person.post(f"/my/{MARKET}/s1/sign-out")
    person.cookie = before
    assert person.get(f"/my/{MARKET}/s1").status == 401
    person.cookie = "seller=chosen-by-somebody"
    fixed, _ = world.person("s1")
    assert fixed.cookie != "seller=chosen-by-somebody"


def test_an_appeal_is_recorded_once(world: World) -> None:
    person, _ = world.person("s1")
    path = f"/my/{MARKET}/s1/appeal?lang=en"
    form = person.get(f"{path}&violation=v-s1")
    given = {"violation": "v-s1", "reason": "it was my own brand", "once": once(form)}
    forged = dict(given)
    assert person.post(path, forged | {"csrf": "0" * 64}).status == 403
    assert person.post(path, given, sec_fetch_site="cross-site").status == 403
    assert person.post(path, given | {"reason": ""}).status == 400
    assert person.post(path, given | {"violation": "v-s2"}).status == 400
    for _ in range(2):
        done = person.post(path, given)
        assert (done.status, done.header("location")) == (303, f"/my/{MARKET}/s1?done=appeal&lang=en")
    assert person.post(path, given | {"reason": "another text"}).status == 409
    found = world.owner.get_violation(MARKET, "v-s1")
    assert found.status == entry_pb2.VIOLATION_STATUS_APPEALED
    appeals = [one for one in world.entries("s1") if one.status.action == entry_pb2.ACTION_APPEAL]
    assert [one.status.reason for one in appeals] == ["it was my own brand"]
    assert world.owner.get_violation(MARKET, "v-s2").status == entry_pb2.VIOLATION_STATUS_CONFIRMED


def test_a_reason_is_one_line_within_the_ledgers_limit(world: World) -> None:
    person, _ = world.person("s2")
    path = f"/my/{MARKET}/s2/appeal?lang=en"
    form = person.get(path)
    given = {"violation": "w-s2", "once": once(form)}
    before = len(world.entries("s2"))
    for wrong in ("x" * (MAX_REASON + 1), "a\x7fb"):
        refused = send_file(person, path, PDF + b"appeal", reason=wrong, **given)
        assert (refused.status, TEXTS["en"]["reason_long"] in refused.body.decode()) == (400, True)
    assert len(world.entries("s2")) == before
    lines = ["My own brand.", "", "x" * (MAX_REASON - len("My own brand. "))]
    assert person.post(path, given | {"reason": "\r\n".join(lines)}).status == 303
    [appeal] = [one for one in world.entries("s2") if one.status.action == entry_pb2.ACTION_APPEAL]
    assert appeal.status.reason == f"{lines[0]} {lines[2]}"
    assert f'maxlength="{MAX_REASON}"' in form.body.decode()
    for texts in TEXTS.values():
        assert all(str(MAX_REASON) in texts[key] for key in ("reason_hint", "reason_long"))


def test_evidence_is_kept_by_its_digest(world: World) -> None:
    person, _ = world.person("s2")
    path = f"/my/{MARKET}/s2/evidence?lang=en"
    key = once(person.get(path))
    assert send_file(person, path, b"MZ program", violation="v-s2", once=key).status == 400
    assert send_file(person, path, b"", violation="v-s2", once=key).status == 400
    assert send_file(person, path, PDF + b"x" * MAX_BYTES, violation="v-s2", once=key).status in {400, 413}
    assert send_file(person, path, PDF, violation="v-s1", once=key).status == 400
    assert not world.evidence.exists() or not [*world.evidence.rglob("*.pdf")]
    for _ in range(2):
        assert send_file(person, path, PDF, violation="v-s2", once=key).status == 303
    [kept] = world.evidence.rglob("*.pdf")
    digest = hashlib.sha256(PDF).hexdigest()
    assert (kept.stem, kept.read_bytes()) == (digest, PDF)
    [entry] = [one for one in world.entries("s2") if one.HasField("remediation")]
    assert (entry.remediation.violation, entry.remediation.evidence_sha256) == ("v-s2", digest)


def test_a_seller_keeps_a_bounded_number_of_documents(tmp_path: Path) -> None:
    folder = EvidenceFolder(tmp_path)
    for number in range(MAX_DOCUMENTS):
        folder.keep("m", "..", PDF + bytes([number]))
    folder.keep("m", "..", PDF + b"\0")
    with pytest.raises(ValueError, match="file_many"):
        folder.keep("m", "..", PDF + b"more")
    folder.keep("m", "s", PDF)
    assert len([*tmp_path.iterdir()]) == 2


def test_a_complaint_is_about_an_own_measure(world: World) -> None:
    person, _ = world.person("s2")
    page = person.get(f"/my/{MARKET}/s2?lang=en").body.decode()
    measure = re.findall(r"complaint\?measure=([^&]+)&amp;", page)[0].replace("%7E", "~")
    path = f"/my/{MARKET}/s2/complaint?lang=en"
    given = {"measure": measure, "reason": SCRIPT, "once": once(person.get(path))}
    assert person.post(path, given | {"measure": "other"}).status == 400
    answer = person.post(path, given)
    if answer.status == 303:  # the mechanism has recorded the measure
        assert [one.complaint.reason for one in world.entries("s2") if one.HasField("complaint")] == [SCRIPT]
    assert SCRIPT.encode() not in answer.body


def test_a_link_waits_while_the_server_is_away(world: World, tmp_path: Path) -> None:
    with Client("127.0.0.1:1", deadline_seconds=0.2) as client:
        pages = SellerPages(client, TokenClients(lambda _: client), EvidenceFolder(tmp_path))
        with badge_site(client, sellers=pages) as site:
            person = Person(site.server.address)
            place = f"/my/{MARKET}/s1/sign-in?lang=en"
            person.get(f"{place}&token=x")
            answer = person.post(place, {"token": world.token("s1")})
    assert answer.status == 503
    assert "The service does not answer" in answer.body.decode()


def test_a_server_without_grants_opens_no_page_by_a_token(tmp_path: Path) -> None:
    """It lets every caller do everything, so a token proves nothing there."""
    with running_server(tmp_path, artifact=artifact()) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        pages = SellerPages(client, TokenClients(lambda _: client), EvidenceFolder(tmp_path))
        with badge_site(client, sellers=pages, call_seconds=PATIENCE_SECONDS) as site:
            person = Person(site.server.address)
            person.get(f"/my/{MARKET}/s1/sign-in?token=x")
            assert person.post(f"/my/{MARKET}/s1/sign-in", {"token": "x"}).status == 503


def test_wrong_addresses_have_a_page_in_the_readers_language(world: World) -> None:
    person, _ = world.person("s1")
    for path in ("/my/a%20b/s1", f"/my/{MARKET}/%3Cscript%3E", f"/my/{MARKET}/..%2fs1"):
        found = person.get(f"{path}?lang=zh")
        assert found.status == 404
        assert b"<script>alert" not in found.body
    assert TEXTS["zh"]["problem"]["404"][0] in person.get(f"/my/{MARKET}/s1/letters/none?lang=zh").body.decode()


def test_both_languages_have_every_text() -> None:
    def shape(texts: dict[str, object]) -> list[tuple[str, object]]:
        return sorted(
            (key, shape(value) if isinstance(value, dict) else sorted(re.findall(r"{\w+}", str(value))))
            for key, value in texts.items()
        )

    assert shape(TEXTS["en"]) == shape(TEXTS["zh"])


@pytest.mark.parametrize(("subject", "others"), [("s1", ["s2"]), ("evil#s1", ["s1", "evil"])])
def test_an_own_grant_follows_the_subject(world: World, subject: str, others: list[str]) -> None:
    shown = world.callers.shown("web").options()
    token = world.token(subject)
    with world.callers.running.client(**shown, token=lambda: token) as client:
        if "#" not in subject:
            assert client.explain_trust_score(MARKET, subject, audience=AUDIENCE_SELLER).audience_answer.sentences
        for other in others:
            with pytest.raises(SellertrustCallError) as refused:
                client.explain_trust_score(MARKET, other, audience=AUDIENCE_SELLER)
            assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED


def test_a_probe_of_the_server_leaves_no_client(world: World) -> None:
    made: dict[str | None, Client] = {}

    def make(token: str | None) -> Client:
        shown = world.callers.shown("web").options()
        made[token] = world.callers.running.client(**shown, token=lambda: token or "")
        return made[token]

    token = world.token("s1")
    assert TokenClients(make).verify(token) is made[token]
    with pytest.raises(ValueError, match="closed"):
        made["none"].get_trust_score(MARKET, "s1")
