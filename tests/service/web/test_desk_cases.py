import hashlib
import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong
from scoring.entries.kinds.common import MAX_REASON
from sellertrust.client import Client
from sellertrust.names import seller_name
from sellertrust.v1.entry_pb2 import (
    CATEGORY_SAFETY,
    HARM_EXTREME,
    MEASURE_KIND_MANUAL_REVIEW,
    MEASURE_STATE_IMPOSED,
    Entry,
    MeasureChanged,
    Source,
    ViolationStatus,
)
from sellertrust.v1.ledger_service_pb2 import Violation
from service.web.desk import journal, queue
from service.web.desk.journal import CaseTaken, DeskDecision, DeskFinding, Journal
from service.web.desk.queue import QueuePages, deadline_of
from service.web.desk.record import share_of
from service.web.desk.sending import Sender
from service.web.frame import visits
from service.web.frame.visits import PAGE, Visitor
from tests.helpers.badge_sites import Site, filled_server
from tests.helpers.callers import grant
from tests.helpers.desk_sites import Person, desk_site, person
from tests.helpers.four_eyes import bulk, world
from tests.helpers.granted import EVERY, granted_server
from tests.helpers.limits import Limit
from tests.helpers.servers import MARKET, PATIENCE_SECONDS, Running, violation
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact

BY_EVIDENCE, TRUE, UNTRUE, WRONG, UNCLEAR = "1", "2", "4", "7", "9"
PICTURE = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
DIGEST = hashlib.sha256(PICTURE).hexdigest()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with filled_server(tmp_path_factory.mktemp("cases")) as running:
        yield running


@pytest.fixture(autouse=True)
def quick(limit: Limit) -> None:
    limit(queue, FRESH_SECONDS=0.0)


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with running.client() as client:
        yield client


@pytest.fixture
def desk(client: Client, tmp_path: Path) -> Iterator[Site]:
    with desk_site(client, tmp_path, evidence=str(tmp_path / "evidence")) as site:
        yield site


def report(client: Client, name: str, seller: str = "best", **given: str) -> str:
    entry = violation(name, seller)
    for field, value in given.items():
        setattr(entry.violation, field, value)
    client.append_entries(MARKET, [entry])
    return name


def find(someone: Person, name: str, choice: str, words: str = "") -> int:
    someone.get(f"/cases/{name}")
    return someone.post(f"/cases/{name}/find", {"choice": choice, "words": words}).status


def decide(someone: Person, name: str, choice: str, what: str = "decide") -> str:
    assert find(someone, name, choice) == 303
    shown = someone.get(f"/cases/{name}/consequence").body.decode()
    [decision] = re.findall(r'name="id" value="(desk-\w+)"', shown)
    assert someone.post(f"/cases/{name}/decide", {"id": decision, "what": what}).status == 303
    return str(decision)


def status(client: Client, name: str) -> str:
    found = client.get_violation(MARKET, name)
    return str(ViolationStatus.Name(found.status)).removeprefix("VIOLATION_STATUS_")


def wait_for(client: Client, name: str, wanted: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while status(client, name) != wanted:
        assert time.monotonic() < until, status(client, name)
        threading.Event().wait(0.05)


def test_the_first_step_shows_the_fact_and_nothing_that_sways(desk: Site, client: Client) -> None:
    report(client, "fact-1", "low", notifier="brand-77", listing="l-1", brand="b-1")
    first, second = person(desk, "reviewer-1"), person(desk, "reviewer-2")
    decide(first, "fact-1", TRUE, "escalate")
    shown = second.get("/cases/fact-1").body.decode()
    assert "l-1" in shown
    assert "b-1" in shown
    for hidden in ("points", "robation", "brand-77", "reviewer-1", "eliab", "It is true: what follows", "priority"):
        assert hidden not in shown


def test_a_decision_becomes_one_entry_after_its_window(desk: Site, client: Client, limit: Limit) -> None:
    limit(journal, UNDO_SECONDS=0.3)
    someone = person(desk)
    decision = decide(someone, report(client, "once-1"), UNTRUE)
    for _ in range(2):  # a back button and a second press
        assert someone.post("/cases/once-1/decide", {"id": decision, "what": "decide"}).status == 303
    wait_for(client, "once-1", "DISMISSED")
    found = client.get_recorded_violation(MARKET, "once-1")
    assert [entry.entry_id for entry in found.recorded] == ["once-1", decision]
    assert found.recorded[1].status.actor == "reviewer-1"


def test_an_undone_decision_is_never_an_entry(desk: Site, client: Client) -> None:
    someone, other = person(desk), person(desk, "reviewer-2")
    decision = decide(someone, report(client, "undo-1"), TRUE)
    for path in ("/search", "/operations"):
        assert b"It becomes an entry in" in someone.get(path).body
    other.get("/search")
    assert other.post(f"/decisions/{decision}/undo").status == 409
    someone.get("/search")
    assert someone.post(f"/decisions/{decision}/undo").header("location") == "/cases/undo-1"
    assert someone.post(f"/decisions/{decision}/undo").status == 303
    assert b'name="choice"' in someone.get("/cases/undo-1").body
    assert status(client, "undo-1") == "ALLEGED"


def test_crashes_neither_lose_nor_double_a_decision(client: Client, tmp_path: Path, limit: Limit) -> None:
    limit(journal, UNDO_SECONDS=3.0)
    report(client, "crash-1")
    report(client, "crash-2")
    with desk_site(client, tmp_path) as site:
        someone = person(site)
        sent = decide(someone, "crash-1", UNTRUE)
        undone = decide(someone, "crash-2", UNTRUE)
        someone.get("/search")
        someone.post(f"/decisions/{undone}/undo")
    assert status(client, "crash-1") == "ALLEGED"
    with desk_site(client, tmp_path):
        wait_for(client, "crash-1", "DISMISSED")
    with closing(sqlite3.connect(tmp_path / "desk.db")) as file, file:
        lost = "UPDATE states SET state = json_set(state, '$.state', 'pending') WHERE name = ?"
        assert file.execute(lost, (sent,)).rowcount == 1
    with desk_site(client, tmp_path) as site:
        while b">Sent<" not in person(site).get("/record").body:
            threading.Event().wait(0.05)
    assert len(client.get_recorded_violation(MARKET, "crash-1").recorded) == 2
    assert status(client, "crash-2") == "ALLEGED"


def test_a_decision_waits_alone_and_until_the_server_takes_it(tmp_path: Path) -> None:
    limits = '[[limits]]\nprincipals = ["dns:desk.example"]\ncalls_per_second = 2\n'
    grants = [grant(f"dns:{name}.example", ["append", "decide", "read_ledger"], **EVERY) for name in ("brand", "desk")]
    with (
        granted_server(tmp_path, *grants, limits, artifact=artifact()) as callers,
        callers("desk") as allowed,
        closing(Journal(tmp_path / "desk.db")) as journal,
    ):
        names = [f"wait-{number}" for number in range(5)]
        with callers("brand") as brand:
            brand.append_entries(MARKET, [violation(name, "best") for name in names])
        with callers("desk") as closed:
            pass
        for name in names:
            person = "gone" if name == names[0] else "here"
            decision = DeskDecision(f"desk-{name}", name, "best", person, "reviewer-1", "dismiss", "seen", "", 0.0)
            journal.decide(decision)
        sender = Sender(journal, MARKET, {"gone": closed, "here": allowed}.get, lambda _: None)
        with closing(sender):
            sender.start()
            until = time.monotonic() + PATIENCE_SECONDS
            while len(journal.list_due()) > 1 and time.monotonic() < until:
                threading.Event().wait(0.05)
        assert [one.state for one in reversed(journal.list_decisions())] == ["pending"] + 4 * ["sent"]


def test_a_damaged_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with closing(Journal(path)) as journal:
        for number in range(100):
            journal.claim(f"case-{number}", "reviewer-1")
    whole = path.read_bytes()
    for place, length in ((0, 11), (len(whole) // 2, 1_000)):
        damaged = whole[:place] + b"x" * length + whole[place + length :]
        path.write_bytes(damaged)
        for _ in range(2):  # a file that cannot be read is not held
            with pytest.raises(ConfigurationWrong, match="; restore the file"):
                Journal(path)
        assert path.read_bytes() == damaged
    with pytest.raises(ConfigurationWrong, match="cannot be read"):
        Journal(tmp_path)


def test_a_file_of_an_earlier_desk_is_named(tmp_path: Path) -> None:
    (tmp_path / "desk.jsonl").touch()
    with pytest.raises(ConfigurationWrong, match="an earlier release's"):
        Journal(tmp_path / "desk.db")


def test_what_a_later_desk_keeps_stays_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    Journal(path).close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("INSERT INTO states VALUES ('of a later desk', 'case-1', '{}')")
    with closing(Journal(path)) as journal:
        journal.claim("case-1", "reviewer-1")
    with closing(sqlite3.connect(path)) as file:
        kinds = file.execute("SELECT kind FROM states ORDER BY rowid").fetchall()
    assert kinds == [("of a later desk",), ("case",)]
    assert path.stat().st_mode & 0o077 == 0


def test_two_reviewers_cannot_decide_one_case_at_once(desk: Site, client: Client) -> None:
    report(client, "both-1")
    first, second = person(desk, "reviewer-1"), person(desk, "reviewer-2")
    assert find(first, "both-1", TRUE) == 303
    assert find(second, "both-1", UNTRUE) == 409
    first.get("/cases/both-1")
    assert first.post("/cases/both-1/hand-on", {"what": "assign", "to": "reviewer-2"}).status == 303
    shown = first.get("/cases/both-1/consequence").body.decode()
    [decision] = re.findall(r'name="id" value="(desk-\w+)"', shown)
    first.post("/cases/both-1/decide", {"id": decision, "what": "decide"})
    assert find(second, "both-1", UNTRUE) == 409
    assert find(first, "both-1", UNTRUE) == 409


def test_an_escalated_case_needs_a_second_equal_finding(desk: Site, client: Client, limit: Limit) -> None:
    limit(journal, UNDO_SECONDS=0.3)
    report(client, "two-1")
    first, second, third = (person(desk, f"reviewer-{number}") for number in (1, 2, 3))
    decide(first, "two-1", TRUE, "escalate")
    assert b"The case waits for a second person" in first.get("/cases/two-1").body
    assert find(first, "two-1", TRUE) == 409
    decide(second, "two-1", UNTRUE)
    assert status(client, "two-1") == "ALLEGED"
    decision = decide(third, "two-1", TRUE)
    wait_for(client, "two-1", "CONFIRMED")
    assert client.get_recorded_violation(MARKET, "two-1").recorded[-1].entry_id == decision
    assert client.get_recorded_violation(MARKET, "two-1").recorded[-1].status.actor == "reviewer-1~reviewer-3"


def test_a_suspension_needs_opened_evidence_and_two(desk: Site, client: Client, tmp_path: Path, limit: Limit) -> None:
    limit(journal, UNDO_SECONDS=0.3)
    file = report_grave(client, "grave-1", tmp_path)
    first, second = person(desk, "reviewer-1"), person(desk, "reviewer-2")
    assert find(first, "grave-1", TRUE) == 303
    assert b"Open the evidence before you decide" in first.get("/cases/grave-1/consequence").body
    assert first.post("/cases/grave-1/decide", {"id": "desk-0", "what": "decide"}).status == 409
    first.post("/cases/grave-1/open")
    file.write_bytes(b"another picture")
    refused = first.post("/cases/grave-1/decide", {"id": "desk-0", "what": "decide"})
    assert (refused.status, b"This evidence was changed" in refused.body) == (409, True)
    file.write_bytes(PICTURE)
    assert first.post("/cases/grave-1/decide", {"id": "desk-1", "what": "decide"}).status == 303
    assert status(client, "grave-1") == "ALLEGED"
    second.get("/cases/grave-1")
    second.post("/cases/grave-1/open")
    decide(second, "grave-1", TRUE)
    wait_for(client, "grave-1", "CONFIRMED")


def test_another_person_decides_an_appeal(desk: Site, client: Client) -> None:
    report(client, "appeal-1")
    client.confirm_violation(MARKET, "appeal-1", actor="reviewer-3~reviewer-1", reason="seen")
    client.appeal_violation(MARKET, "appeal-1", actor="seller", reason="It is genuine.")
    first, second = person(desk, "reviewer-1"), person(desk, "reviewer-2")
    assert find(first, "appeal-1", WRONG) == 400
    assert b"Another person decides" in first.post("/cases/appeal-1/find", {"choice": WRONG}).body
    assert find(second, "appeal-1", WRONG) == 303


def test_an_appeal_bars_findings_and_votes_before_it(desk: Site, client: Client, limit: Limit) -> None:
    limit(journal, UNDO_SECONDS=0.3)
    report(client, "appeal-2", "appealing")
    voter, finder, third, fourth = (person(desk, f"reviewer-{number}") for number in (1, 2, 3, 4))
    decide(voter, "appeal-2", TRUE, "escalate")
    assert find(finder, "appeal-2", TRUE) == 303
    client.confirm_violation(MARKET, "appeal-2", actor="reviewer-1~reviewer-2", reason="seen")
    client.appeal_violation(MARKET, "appeal-2", actor="seller", reason="It is genuine.")
    refused = finder.post("/cases/appeal-2/decide", {"id": "desk-appeal-2", "what": "decide"})
    assert (refused.status, b"Another person decides about the appeal" in refused.body) == (409, True)
    assert finder.post("/cases/appeal-2/hand-on", {"what": "release"}).status == 303
    decide(third, "appeal-2", TRUE, "escalate")
    decide(fourth, "appeal-2", TRUE)
    wait_for(client, "appeal-2", "CONFIRMED")
    assert client.get_recorded_violation(MARKET, "appeal-2").recorded[-1].status.actor == "reviewer-3~reviewer-4"


def test_a_finding_before_an_appeal_decides_none(desk: Site, client: Client, limit: Limit) -> None:
    limit(journal, UNDO_SECONDS=0.3)
    report(client, "appeal-3", "appealing")
    voter, finder, third = (person(desk, f"reviewer-{number}") for number in (1, 2, 3))
    decide(voter, "appeal-3", TRUE, "escalate")
    assert find(finder, "appeal-3", TRUE) == 303
    client.confirm_violation(MARKET, "appeal-3", actor="reviewer-4", reason="seen")
    client.appeal_violation(MARKET, "appeal-3", actor="seller", reason="It is genuine.")
    refused = finder.post("/cases/appeal-3/decide", {"id": "desk-appeal-3", "what": "decide"})
    assert (refused.status, b"First say what you found" in refused.body) == (409, True)
    decide(finder, "appeal-3", TRUE, "escalate")
    assert find(third, "appeal-3", TRUE) == 303
    assert third.post("/cases/appeal-3/hand-on", {"what": "assign", "to": "reviewer-1"}).status == 303
    decide(voter, "appeal-3", TRUE)
    wait_for(client, "appeal-3", "CONFIRMED")
    assert client.get_recorded_violation(MARKET, "appeal-3").recorded[-1].status.actor == "reviewer-2~reviewer-1"


def test_a_waiting_decision_decides_no_later_appeal(client: Client, tmp_path: Path) -> None:
    for name in ("late-1", "late-2"):
        report(client, name, "appealing")
    with closing(Journal(tmp_path / "desk.db")) as journal:
        sender = Sender(journal, MARKET, {"": client}.get, lambda _: None)
        for name in ("late-1", "late-2"):
            journal.decide(
                DeskDecision(f"desk-{name}", name, "appealing", "", "reviewer-1", "confirm", "seen", "", 0.0)
            )
        waiting, lost = journal.list_due()
        client.confirm_violation(MARKET, "late-1", actor="reviewer-1", reason="seen")
        client.confirm_violation(MARKET, "late-2", actor="reviewer-1", reason="seen", entry_id=lost.id)
        for name in ("late-1", "late-2"):
            client.appeal_violation(MARKET, name, actor="seller", reason="It is genuine.")
        for decision in (waiting, lost):
            sender.send(decision)
        settled = {one.violation: one.state for one in journal.list_decisions()}
    assert settled == {"late-1": "refused", "late-2": "sent"}
    assert [status(client, name) for name in settled] == ["APPEALED", "APPEALED"]


def test_a_proposal_of_appeals_is_only_withdrawn(tmp_path: Path) -> None:
    with world(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path) as eyes, desk_site(eyes("bert"), tmp_path) as site:
        eyes("anna").append_entries(MARKET, [violation("sum-3", "good")])
        proposal = eyes.propose("anna", bulk(eyes, notifier="", seller="good"))
        someone = person(site)
        assert b"Approve" in someone.get("/proposals").body
        given = {"name": proposal.name, "digest": proposal.digest, "reason": "so"}
        assert someone.post("/proposals/act", given | {"what": "approve"}).status == 400
        eyes.approve("bert", proposal)
        assert someone.post("/proposals/act", given | {"what": "carry-out"}).status == 400
        assert status(eyes("anna"), "sum-3") == "ALLEGED"
        assert someone.post("/proposals/act", given | {"what": "withdraw"}).status == 303


def test_a_bulk_decision_leaves_appeals_out(desk: Site, client: Client) -> None:
    for name in ("sum-1", "sum-2"):
        report(client, name, "good", listing="l-appeal")
        client.confirm_violation(MARKET, name, actor="reviewer-1", reason="seen")
    client.appeal_violation(MARKET, "sum-1", actor="seller", reason="It is genuine.")
    someone = person(desk)
    someone.get("/bulk")
    request = preview(someone, {"action": "overturn", "listing": "l-appeal", "reason": "a mistake"})
    assert json.loads(request)["expectedCount"] == "1"
    assert someone.post("/bulk/execute", {"request": request}).status == 303
    assert status(client, "sum-1") == "APPEALED"
    for statuses in ([], ["VIOLATION_STATUS_APPEALED"]):
        forged = json.dumps(json.loads(request) | {"statuses": statuses})
        assert someone.post("/bulk/execute", {"request": forged}).status == 400


def file_complaint(client: Client, number: int) -> str:
    imposed, filed = (Entry(entry_id=f"{name}-{number}", seller=seller_name(MARKET, "good")) for name in ("m", "c"))
    imposed.measure.CopyFrom(MeasureChanged(measure=f"m-{number}", actor="reviewer-3~reviewer-1", reason="seen"))
    imposed.measure.measure_kind, imposed.measure.state = MEASURE_KIND_MANUAL_REVIEW, MEASURE_STATE_IMPOSED
    filed.complaint.measure, filed.complaint.reason = f"m-{number}", "<b>We sell our own goods.</b>"
    client.append_entries(MARKET, [imposed, filed])
    return f"/complaints/c-{number}"


def test_a_decided_complaint_leaves_a_remembered_queue(desk: Site, client: Client, limit: Limit) -> None:
    limit(queue, FRESH_SECONDS=60.0)
    place, given = file_complaint(client, 2), {"outcome": "reject", "reason": "It is a copy."}
    someone = person(desk, "reviewer-2")
    assert place.encode() in someone.get("/queue").body
    assert someone.post(place, given | {"id": "c-decided"}).status == 400
    assert someone.post(place, given | {"id": "desk-d-2"}).status == 303
    assert place.encode() not in someone.get("/queue").body
    assert someone.get(place).status == 404
    for decision, code in (("desk-d-2", 303), ("desk-d-3", 404)):
        assert someone.post(place, given | {"id": decision}).status == code


def test_a_full_list_says_that_it_shows_the_first(client: Client, tmp_path: Path, limit: Limit) -> None:
    for number in (3, 4):
        file_complaint(client, number)
    pages = {"/queue": r"The first \d+ complaints to decide", "/operations": r"to decide</dt><dd>the first \d+<"}
    for most, is_first in ((1_000, False), (2, True)):
        limit(queue, MAX_CASES=most, WAIT_SECONDS=60.0)
        with desk_site(client, tmp_path) as site:
            for path, words in pages.items():
                assert bool(re.search(words, person(site).get(path).body.decode())) is is_first


def test_waiting_complaints_have_pages_and_a_filter(desk: Site, client: Client, limit: Limit) -> None:
    limit(visits, PAGE=1)
    for number in (5, 6):
        file_complaint(client, number)
    someone, path, seen = person(desk, "reviewer-5"), "/queue?seller=good&complaints=1", set[str]()
    while path:
        body = someone.get(path).body.decode()
        seen |= {*re.findall(r"/complaints/c-\d", body)}
        following = re.search(r'rel="next" href="([^"#]+)#complaints"', body)
        path = f"/queue{unescape(following[1])}" if following else ""
    assert seen >= {"/complaints/c-5", "/complaints/c-6"}
    assert b"None of this seller" in someone.get("/queue?seller=nobody").body


def test_every_case_of_a_long_queue_can_be_reached(client: Client, tmp_path: Path, limit: Limit) -> None:
    client.append_entries(MARKET, [violation(f"v-long-{number}", "good") for number in range(3)])
    found = []
    for most in (1_000, 2):
        limit(queue, MAX_CASES=most, WAIT_SECONDS=60.0)
        with desk_site(client, tmp_path) as site:
            someone, path, seen = person(site), "/queue", set[str]()
            while path:
                body = someone.get(path).body.decode()
                seen |= {*re.findall(r'href="/cases/([^"]+)"', body)}
                following = re.search(r'href="([^"]+)">The next 2<', body)
                path = f"/queue{unescape(following[1])}" if following else ""
            found.append(seen)
    assert found[0] == found[1]
    assert found[0] >= {"v-long-0", "v-long-1", "v-long-2"}


def test_a_later_part_of_the_queue_is_of_now(client: Client, tmp_path: Path, limit: Limit) -> None:
    client.append_entries(MARKET, [violation(f"v-part-{number}", "good") for number in range(3)])
    limit(queue, MAX_CASES=2, FRESH_SECONDS=0.0, OLD_SECONDS=0.0, WAIT_SECONDS=60.0)
    with desk_site(client, tmp_path) as site:
        someone = person(site)
        body = someone.get("/queue?part=1").body.decode()
        first, *_ = re.findall(r'row"><a href="/cases/([^"]+)"', body)
        assert "cases of this part to decide" in body
        client.confirm_violation(MARKET, first, actor="reviewer-2", reason="Seen.")
        assert f'row"><a href="/cases/{first}"' not in someone.get("/queue?part=1").body.decode()
        case, *_ = re.findall(r'row"><a href="(/cases/[^"]+)"', someone.get("/queue").body.decode())
        assert b"over 2 left" in someone.get(case).body
        for other in ("x", "-1", "999"):
            assert someone.get(f"/queue?part={other}").body == someone.get("/queue").body


def test_a_queue_that_takes_long_is_read_on(client: Client, tmp_path: Path, limit: Limit) -> None:
    limit(queue, WAIT_SECONDS=0.0)
    with desk_site(client, tmp_path) as site:
        someone = person(site)
        answer = someone.get("/queue")
        assert (answer.status, b"The queue is being read" in answer.body) == (503, True)
        wait_until(lambda: someone.get("/queue").status == 200)


def test_another_person_decides_a_complaint(desk: Site, client: Client) -> None:
    place, given = file_complaint(client, 1), {"outcome": "uphold", "reason": "They are its own goods."}
    first, second = person(desk, "reviewer-1"), person(desk, "reviewer-2")
    assert b'href="/complaints/c-1"' in first.get("/queue").body
    assert b"&lt;b&gt;We sell our own goods." in first.get(place).body
    refused = first.post(place, given | {"id": "desk-c-1"})
    assert (refused.status, b"another person decides about the complaint" in refused.body) == (409, True)
    second.get(place)
    assert second.post(place, given | {"id": "desk-c-2", "reason": ""}).status == 400
    assert [second.post(place, given | {"id": "desk-c-2"}).status for _ in range(2)] == [303, 303]
    until = time.monotonic() + PATIENCE_SECONDS
    while b"/complaints/c-1" in second.get("/queue").body:
        assert time.monotonic() < until
    assert "m-1" not in [one.measure for one in client.evaluate_measures(MARKET, "good").measures]


def test_another_spelling_of_a_name_is_no_second_person(desk: Site, client: Client) -> None:
    report(client, "name-1")
    decide(person(desk, "reviewer-1"), "name-1", TRUE, "escalate")
    for name in ("Reviewer-1", "REVIEWER-1", "\uff52eviewer-1"):
        assert find(person(desk, name), "name-1", TRUE) == 409
    assert status(client, "name-1") == "ALLEGED"


def report_grave(client: Client, name: str, folder: Path) -> Path:
    file = folder / "evidence" / f"{name}.svg"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(PICTURE)
    entry = violation(name, "best")
    entry.violation.harm = HARM_EXTREME
    entry.violation.evidence_uri, entry.violation.evidence_sha256 = str(file), DIGEST
    client.append_entries(MARKET, [entry])
    return file


def test_nobody_decides_by_evidence_that_is_not_there(desk: Site, client: Client, tmp_path: Path) -> None:
    someone = person(desk)
    file = report_grave(client, "by-1", tmp_path)
    problems = {report(client, "by-0"): "There is no evidence to show", "by-1": "Open the evidence before you decide"}
    for name, problem in problems.items():
        assert find(someone, name, BY_EVIDENCE) == 400
        assert problem in someone.post(f"/cases/{name}/find", {"choice": BY_EVIDENCE}).body.decode()
    file.write_bytes(b"another picture")
    assert b"This evidence was changed" in someone.get("/cases/by-1").body
    assert someone.post("/cases/by-1/open").status == 409
    assert find(someone, "by-1", BY_EVIDENCE) == 400
    file.write_bytes(PICTURE)
    assert someone.post("/cases/by-1/open").status == 303
    assert find(someone, "by-1", BY_EVIDENCE) == 303
    file.write_bytes(b"another picture")
    assert b"This evidence was changed" in someone.get("/cases/by-1/consequence").body


def test_missing_information_puts_a_case_under_review(desk: Site, client: Client, limit: Limit) -> None:
    limit(journal, UNDO_SECONDS=0.3)
    report(client, "wait-1")
    someone = person(desk)
    for words in ("", "x" * (MAX_REASON + 1), "the ledger refuses \x7f"):
        assert find(someone, "wait-1", UNCLEAR, words) == 400
    assert find(someone, "wait-1", UNCLEAR, "An invoice of the maker is missing.") == 303
    wait_for(client, "wait-1", "UNDER_REVIEW")
    assert b"An invoice of the maker is missing." in someone.get("/cases/wait-1").body


def test_evidence_is_checked_and_veiled_until_opened(desk: Site, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "one.svg").write_bytes(PICTURE)
    (tmp_path / "secret").write_bytes(PICTURE)
    (folder / "inside").symlink_to("one.svg")
    (folder / "outside").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    places = {"one.svg": 200, "inside": 200, "../secret": 404, "%2e%2e/secret": 404, "none.svg": 404}
    places |= {"outside": 404, "up/secret": 404}
    someone = person(desk)
    for number, (place, wanted) in enumerate(places.items()):
        report(client, f"see-{number}", evidence_uri=f"{folder}/{place}", evidence_sha256=DIGEST)
        assert someone.get(f"/cases/see-{number}/evidence").status == wanted
    report(client, "see-9", evidence_uri=f"{folder}/one.svg", evidence_sha256="0" * 64)
    assert b"This evidence was changed" in someone.get("/cases/see-9/evidence").body
    assert "sandbox" in (someone.get("/cases/see-0/evidence").header("content-security-policy") or "")
    assert b"veiled" in someone.get("/cases/see-0").body
    assert someone.post("/cases/see-0/open").status == 303
    assert b"veiled" not in someone.get("/cases/see-0").body
    (folder / "paper.pdf").write_bytes(b"%PDF-1.4")
    report(client, "see-8", evidence_uri=f"{folder}/paper.pdf", evidence_sha256=hashlib.sha256(b"%PDF-1.4").hexdigest())
    someone.post("/cases/see-8/open")
    shown = someone.get("/cases/see-8").body
    assert (b"Save the evidence" in shown, b"<img" in shown) == (True, False)


def test_many_decisions_are_shown_first_and_reversed_by_id(desk: Site, client: Client) -> None:
    for number in range(25):
        report(client, f"many-{number}", "good", listing="l-many")
    report(client, "many-other", "good", listing="l-many")
    client.confirm_violation(MARKET, "many-other", actor="judge", reason="a test")
    someone = person(desk)
    someone.get("/bulk")
    given = {"action": "confirm", "listing": "l-many", "reason": "a recall"}
    request = preview(someone, given)
    assert [status(client, f"many-{number}") for number in range(25)] == ["ALLEGED"] * 25
    for _ in range(2):
        assert someone.post("/bulk/execute", {"request": request}).status == 303
    statuses = [status(client, f"many-{number}") for number in range(25)]
    assert set(statuses) == {"CONFIRMED", "UNDER_REVIEW"}
    earlier = someone.get("/bulk").body.decode()
    [decision] = re.findall(r"reverses=(desk-\w+)", earlier)
    back = preview(someone, {"action": "overturn", "status": "confirmed", "reverses": decision, "reason": "a mistake"})
    assert someone.post("/bulk/execute", {"request": back}).status == 303
    assert "OVERTURNED" in [status(client, f"many-{number}") for number in range(25)]
    assert status(client, "many-other") == "CONFIRMED"


@pytest.mark.parametrize(("field", "value"), [("status", "x"), ("since", "2026-06-30T12:00+02:00"), ("before", "1")])
def test_a_wrong_bulk_decision_is_refused(desk: Site, field: str, value: str) -> None:
    someone = person(desk)
    someone.get("/bulk")
    given = {"action": "confirm", "listing": "l-1", "reason": "a recall", field: value}
    assert someone.post("/bulk/preview", given).status == 400


def preview(someone: Person, given: dict[str, str]) -> str:
    shown = someone.post("/bulk/preview", given)
    assert shown.status == 200, shown.body
    [request] = re.findall(r'name="request" value="([^"]+)"', shown.body.decode())
    return str(request).replace("&#34;", '"')


def test_the_queue_filters_and_pages_by_its_address(desk: Site, client: Client) -> None:
    for number in range(35):
        report(client, f"page-{number}", "new")
    someone = person(desk)
    shown = someone.get("/queue?seller=new").body.decode()
    assert shown.count('<a href="/cases/page-') == PAGE
    assert "page=2" in shown
    assert someone.get("/queue?seller=new&page=2").body.count(b'<a href="/cases/page-') == 35 - PAGE
    assert someone.get("/queue?seller=nobody").body.count(b'<a href="/cases/') == 0


def test_a_remembered_queue_is_that_of_its_person(client: Client, tmp_path: Path, limit: Limit) -> None:
    limit(queue, FRESH_SECONDS=60.0)
    first, second = (Visitor("", "", client, person) for person in ("first", "second"))
    with closing(Journal(tmp_path / "desk.db")) as journal:
        pages = QueuePages(MARKET, journal)
        before = len(pages.rows(first)[1])
        report(client, "own-1")
        assert len(pages.rows(second)[1]) == before + 1
        assert len(pages.rows(first)[1]) == before


def test_a_claim_beside_a_vote_outlasts_restarts(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with closing(Journal(path)) as journal:
        journal.vote(DeskFinding("case-1", "reviewer-1", "confirm", "seen", ""))
        journal.claim("case-1", "reviewer-2")
    for _ in range(2):
        with closing(Journal(path)) as journal:
            for act in (journal.claim, journal.release):
                with pytest.raises(CaseTaken):
                    act("case-1", "reviewer-3")
    with closing(Journal(path)) as journal:
        journal.release("case-1", "reviewer-2")
        journal.claim("case-1", "reviewer-3")


def test_a_vote_ends_no_claim_of_another_person(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with closing(Journal(path)) as journal:
        journal.claim("case-1", "reviewer-2")
        journal.vote(DeskFinding("case-1", "reviewer-1", "confirm", "seen", ""))
        assert journal.case("case-1").claimed_by == "reviewer-2"
        journal.vote(DeskFinding("case-1", "reviewer-2", "confirm", "seen", ""))
        journal.claim("case-1", "reviewer-3")
    with closing(Journal(path)) as journal:
        assert journal.case("case-1").claimed_by == "reviewer-3"


@pytest.mark.parametrize(
    ("source", "recorded", "deadline"),
    [("CUSTOMS", "2026-07-03T12:00:00Z", "2026-07-07"), ("BUYER", "2026-07-03T12:00:00Z", "2026-07-08")],
)
def test_safety_has_two_or_three_working_days(source: str, recorded: str, deadline: str) -> None:
    one = Violation(category=CATEGORY_SAFETY, source=Source.Value(f"SOURCE_{source}"))
    one.record_time.FromJsonString(recorded)
    assert str(deadline_of(one))[:10] == deadline
    assert deadline_of(Violation()) is None


def test_an_overturned_share_has_its_interval() -> None:
    assert share_of(3, 30)[2:] == (10, 4, 23)
    assert share_of(0, 30)[2:] == (0, 0, 8)
