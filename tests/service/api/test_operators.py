import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import grpc
import pytest

from sellertrust.client import Client
from sellertrust.v1 import audit_service_pb2, entry_pb2
from sellertrust.v1.audit_service_pb2_grpc import AuditServiceStub
from service.access.audit import GENESIS, AuditFile
from service.access.audit_reading import MAX_LINES_READ, read_page
from tests.helpers.callers import grant
from tests.helpers.granted import EVERY, granted_server
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, Running, running_server, violation


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_server(tmp_path) as running:
        yield running


def report(client: Client, entry_id: str, seller: str, marketplace: str = MARKET) -> None:
    entry = violation(entry_id, seller)
    entry.seller = f"marketplaces/{marketplace}/sellers/{seller}"
    client.append_entries(marketplace, [entry])


def test_an_erasure_by_call_takes_the_texts_alone(running: Running, client: Client) -> None:
    report(client, "v-1", "s")
    client.confirm_violation(MARKET, "v-1", actor="court", reason="a name in a text")
    done = client.erase_seller(MARKET, "s", actor="officer", ground="Art. 17", entry_id="e-1")
    assert (done.sequence, done.entry_id) == (3, "e-1")
    _, decision, erasure = client.list_entries(MARKET, "s")
    assert (decision.status.reason, decision.status.action) == ("[erased]", entry_pb2.ACTION_CONFIRM)
    assert (erasure.erasure.actor, erasure.erasure.ground) == ("officer", "Art. 17")
    assert client.get_violation(MARKET, "v-1").status == entry_pb2.VIOLATION_STATUS_CONFIRMED
    report(client, "v-2", "s")
    client.dismiss_violation(MARKET, "v-2", actor="court", reason="stated since")
    assert client.erase_seller(MARKET, "s", actor="officer", ground="Art. 17", entry_id="e-1").sequence == 3
    assert [*client.list_entries(MARKET, "s")][-1].status.reason == "stated since", "a retry erases no more"
    line = json.loads((running.database.parent / "audit.jsonl").read_text().splitlines()[2])
    assert line["rights"] == ["erase"]
    assert line["acted"] == {"entry_id": "e-1", "seller": f"marketplaces/{MARKET}/sellers/s"}


def test_wrong_fields_of_an_erasure_are_named(client: Client) -> None:
    absent = refusal(client.erase_seller, MARKET, "nobody", actor="officer")
    assert (absent.code, absent.reason) == (grpc.StatusCode.NOT_FOUND, "SELLER_NOT_FOUND")
    report(client, "v-1", "s")
    wrong = refusal(client.erase_seller, MARKET, "s", actor="", ground="x" * 300)
    assert [field for field, _ in wrong.fields] == ["actor", "ground"]
    wrong = refusal(client.mend_clock, MARKET, actor="", reason="so")
    assert [field for field, _ in wrong.fields] == ["actor"]


def test_a_clock_is_mended_by_call(client: Client) -> None:
    report(client, "v-1", "s")
    done = client.mend_clock(MARKET, actor="ops", reason="the ledger rested", entry_id="c-1")
    assert (done.sequence, done.entry_id) == (2, "c-1")
    assert done.record_time.ToMicroseconds() > 0
    ahead = refusal(
        lambda: client.mend_clock(MARKET, actor="ops", reason="so", first_sequence=1, ahead_micros=3_600_000_000)
    )
    assert ahead.code is grpc.StatusCode.INVALID_ARGUMENT
    for first, micros in ((-1, 0), (0, 5), (1, -5), (1, 0), (2**62, 5), (1, 2**62)):
        wrong = refusal(
            lambda f=first, m=micros: client.mend_clock(
                MARKET, actor="ops", reason="so", first_sequence=f, ahead_micros=m
            )
        )
        assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT, (first, micros)


def test_the_audit_file_is_listed_and_verifies(running: Running, client: Client) -> None:
    for number in range(5):
        report(client, f"v-{number}", "s")
        client.confirm_violation(MARKET, f"v-{number}", actor="court", reason="so")
    records = [*client.list_audit_records(page_size=3)]
    assert [record.event for record in records] == ["call", "end"] * 5
    assert [record.line for record in records] == (running.database.parent / "audit.jsonl").read_text().splitlines()
    before = GENESIS
    for record in records:
        stated, _, _ = record.line.rpartition(', "hash"')
        assert record.hash == sha256((before + stated).encode()).hexdigest()
        before = record.hash
    call, end = records[:2]
    assert (call.caller, call.method, call.parent) == (
        "local",
        "LedgerService/ConfirmViolation",
        f"marketplaces/{MARKET}",
    )
    assert (end.code, end.call, end.parent) == ("OK", call.hash, f"marketplaces/{MARKET}")
    found = client.verify_audit()
    assert (found.line_count, found.last_hash, found.problem) == (10, records[-1].hash, "")


def test_a_file_that_was_changed_is_found_by_the_call(running: Running, client: Client) -> None:
    path = running.database.parent / "audit.jsonl"
    report(client, "v-1", "s")
    client.confirm_violation(MARKET, "v-1", actor="court", reason="so")
    client.overturn_violation(MARKET, "v-1", actor="court", reason="so")
    path.write_text(path.read_text().replace("OverturnViolation", "ConfirmViolation"))
    found = client.verify_audit()
    assert (found.line_count, found.problem.split(",")[0]) == (2, "line 3 was changed")


def test_a_damaged_audit_file_is_named(running: Running) -> None:
    path = running.database.parent / "audit.jsonl"
    with running.client(service_config="{}") as client:
        report(client, "v-1", "s")
        client.confirm_violation(MARKET, "v-1", actor="court", reason="so")
        audit, whole = client, path.read_text()
        for damage in ("5\n", "[]\n", "{}\n", "no line\n", '{"hash": "x", "time": "yesterday"}\n'):
            path.write_text(damage + whole)
            error = refusal(lambda: [*audit.list_audit_records()])
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "AUDIT_UNAVAILABLE"), damage
            assert audit.verify_audit().problem.startswith("line 1 ")
        path.unlink()
        path.mkdir()
        for ask in (lambda: [*audit.list_audit_records()], audit.verify_audit):
            error = refusal(ask)
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "AUDIT_UNAVAILABLE")
            assert str(path) not in str(error)


def test_an_auditor_of_one_marketplace_sees_no_line_of_another(tmp_path: Path) -> None:
    grants = (
        grant("dns:staff.example", ["append", "decide"], marketplaces=["*"], **EVERY),
        grant("dns:some.example", ["audit"]),
        grant("dns:seller.example", ["audit"], sellers=["s"]),
        grant("dns:every.example", ["audit"], marketplaces=["*"]),
    )
    with granted_server(tmp_path, *grants) as callers:
        with callers("staff") as staff:
            for marketplace, name in ((MARKET, "v-1"), ("other", "v-1"), (MARKET, "v-2")):
                report(staff, name, "s", marketplace)
                staff.review_violation(marketplace, name, actor="a", reason="so", entry_id=f"d-{name}")
        with callers("some") as some:
            own = [*some.list_audit_records(MARKET, page_size=1)]
            assert [record.event for record in own] == ["call", "end"] * 2
            assert {record.parent for record in own} == {f"marketplaces/{MARKET}"}
            for denied in (lambda: [*some.list_audit_records("other")], lambda: [*some.list_audit_records()]):
                assert refusal(denied).reason == "CALLER_NOT_GRANTED"
            assert refusal(some.verify_audit).reason == "CALLER_NOT_GRANTED"
            first = _page(some)
        with callers("seller") as seller:
            assert refusal(lambda: [*seller.list_audit_records(MARKET)]).metadata == {"right": "audit"}
        with callers("every") as every:
            assert len([*every.list_audit_records()]) == 6
            assert len([*every.list_audit_records(MARKET)]) == 4
            with pytest.raises(grpc.RpcError, match="page_token"):
                _page(every, first.next_page_token)


def _page(client: Client, token: str = "") -> audit_service_pb2.ListAuditRecordsResponse:
    request = audit_service_pb2.ListAuditRecordsRequest(parent=f"marketplaces/{MARKET}", page_size=1, page_token=token)
    return AuditServiceStub(client.channel).ListAuditRecords(request)


def test_a_list_of_audit_lines_goes_on_while_lines_come(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    file = AuditFile(path)
    for number in range(9):
        file.write(event="call", number=number)
    first = read_page(path, "", "", 5)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "ca')
    assert [line.content["number"] for line in read_page(path, "", first.after, 100).lines] == [5, 6, 7, 8]
    path.write_bytes(b"")
    file.write(event="call", number=9)
    assert [line.content["number"] for line in read_page(path, "", first.after, 100).lines] == [9]


def test_a_page_looks_at_a_bounded_number_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    line = json.dumps({"event": "call", "marketplace": "other", "hash": "0" * 64}) + "\n"
    own = json.dumps({"event": "call", "marketplace": MARKET, "hash": "1" * 64}) + "\n"
    path.write_text(line * MAX_LINES_READ + own)
    found = read_page(path, MARKET, "", 10)
    assert found.lines == []
    assert [one.content["hash"][0] for one in read_page(path, MARKET, found.after, 10).lines] == ["1"]
