import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from pathlib import Path

import grpc
import pytest

from scoring.base.errors import ConfigurationWrong
from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import entry_pb2, ledger_service_pb2
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.proposal_service_pb2 import GetProposalRequest, ListProposalsRequest
from sellertrust.v1.proposal_service_pb2_grpc import ProposalServiceStub
from service.access.audit import AuditFile
from service.access.audit_reading import verify_audit
from tests.helpers.callers import Authority, grant, write_grants
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, running_server, violation


def test_lines_are_chained_and_a_change_is_found(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    for number in range(3):
        AuditFile(path).write(caller="a", number=number)
    lines, last = verify_audit(path)
    assert (lines, last) == (3, json.loads(path.read_text().splitlines()[-1])["hash"])
    assert path.stat().st_mode & 0o777 == 0o600
    good = path.read_text().splitlines(keepends=True)
    for changed in (
        [good[0].replace('"a"', '"b"'), *good[1:]],
        [good[0], good[2]],
        [good[1], good[0], good[2]],
        good[1:],
        [*good[:2], good[2].rstrip()],
        [*good, "{}\n"],
        # The hash covers the bytes: the parsed content would be equal.
        [good[0].replace('{"time"', '{"caller": "b", "time"'), *good[1:]],
        [good[0].replace('"caller": "a"', '"caller": "b", "caller": "a"'), *good[1:]],
        [good[0].replace(": ", ":  ", 1), *good[1:]],
        [good[0].replace('"a"', '"\\u0061"'), *good[1:]],
        [*good[:2], good[2].replace('"}\n', '" }\n')],
        [*good[:2], good[2].replace('"}\n', '", "more": 1}\n')],
    ):
        path.write_text("".join(changed))
        with pytest.raises(ValueError, match="line"):
            verify_audit(path)


@pytest.mark.long
def test_privileged_calls_are_written_and_others_are_not(tmp_path: Path, client: Client) -> None:
    path = tmp_path / "audit.jsonl"
    client.append_entries(MARKET, [violation("v-1", "s")])
    client.confirm_violation(MARKET, "v-1", actor="court", reason="a secret")
    client.get_violation(MARKET, "v-1")
    refusal(client.confirm_violation, MARKET, "absent", actor="court", reason="so")
    [first, done, second, failed] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["caller"], first["method"]) == ("local", "LedgerService/ConfirmViolation")
    assert (first["rights"], first["acted"]["name"]) == (["decide"], f"marketplaces/{MARKET}/violations/v-1")
    assert first["acted"]["entry_id"] == [*client.list_entries(MARKET, "s")][1].entry_id
    assert (done["event"], done["call"], done["code"], done["sequence"]) == ("end", first["hash"], "OK", 2)
    assert second["acted"]["name"].endswith("absent")
    assert (failed["call"], failed["code"]) == (second["hash"], "NOT_FOUND")
    assert "secret" not in path.read_text()
    path.unlink()
    path.mkdir()
    assert refusal(client.overturn_violation, MARKET, "v-1", actor="court", reason="so", deadline_seconds=1).code in {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    assert len(client.get_violation(MARKET, "v-1").entries) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [('{"hash": "half', "not whole"), ("{}\n", "none of an audit file"), ("5\n", "none of an audit file")],
)
def test_a_file_that_cannot_be_gone_on_with_stops_the_start(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "audit.jsonl").write_text(content)
    with pytest.raises(ConfigurationWrong, match=problem), running_server(tmp_path):
        pass


def test_every_batch_of_a_stream_is_audited(tmp_path: Path, client: Client) -> None:
    path = tmp_path / "audit.jsonl"
    client.append_entries(MARKET, [violation("v-1", "s")])
    sent = []
    for number, action in enumerate((entry_pb2.ACTION_CONFIRM, entry_pb2.ACTION_OVERTURN)):
        entry = entry_pb2.Entry(entry_id=f"d-{number}")
        entry.status.violation, entry.status.action = "v-1", action
        entry.status.actor, entry.status.reason = "court", "so"
        parent = "" if number else f"marketplaces/{MARKET}"
        sent.append(ledger_service_pb2.StreamEntriesRequest(parent=parent, entries=[entry]))
    answers = [*LedgerServiceStub(client.channel).StreamEntries(iter(sent))]
    assert not any(answer.HasField("error") for answer in answers)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    calls, ends = lines[::2], lines[1::2]
    assert [line["acted"]["parent"] for line in calls] == [f"marketplaces/{MARKET}"] * 2
    assert [line["acted"]["entries"] for line in calls] == [
        [{"entry_id": "d-0", "kind": "status", "about": "v-1", "action": "confirm"}],
        [{"entry_id": "d-1", "kind": "status", "about": "v-1", "action": "overturn"}],
    ]
    assert [(line["call"], line["code"]) for line in ends] == [(line["hash"], "OK") for line in calls]
    assert [line["sequence"] for line in ends] == [2, 3]


def test_audit_says_what_bulk_decisions_and_refusals_came_to(tmp_path: Path, client: Client) -> None:
    path = tmp_path / "audit.jsonl"
    client.append_entries(MARKET, [violation(f"v-{number}", "s") for number in range(3)])
    wanted = {"decision_id": "case-1", "actor": "a", "reason": "so", "seller": "s"}
    shown = client.decide_violations(MARKET, entry_pb2.ACTION_DISMISS, **wanted)
    client.decide_violations(
        MARKET, entry_pb2.ACTION_DISMISS, **wanted, execute=True, expected_count=3, etag=shown.etag
    )
    batch = ledger_service_pb2.StreamEntriesRequest(parent=f"marketplaces/{MARKET}")
    batch.entries.add(entry_id="d-1").status.SetInParent()
    [answer] = LedgerServiceStub(client.channel).StreamEntries(iter([batch]))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    dry, _, call, done, _, refused = lines
    assert (dry["acted"]["execute"], call["acted"]["execute"]) == (False, True)
    assert (call["acted"]["decision_id"], call["acted"]["action"]) == ("case-1", "dismiss")
    assert (done["call"], done["code"], done["count"], done["decided"]) == (call["hash"], "OK", 3, 2)
    assert refused["code"] == grpc_code(answer.error.code) == "INVALID_ARGUMENT"


def grpc_code(number: int) -> str:
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


def test_reads_are_written_of_whom_the_grants_file_names(tmp_path: Path) -> None:
    authority, path = Authority(tmp_path), tmp_path / "audit.jsonl"
    rules = grant("dns:*.example", ["read_ledger", "explain", "read_scores", "read_measures", "propose"])
    write_grants(tmp_path / "grants.toml", rules, '[audit]\nreaders = ["dns:ann.example"]\n')
    settings = authority.server_settings() | {"grants": tmp_path / "grants.toml"}
    with running_server(tmp_path, **settings) as running:
        for name in ("ann", "service"):
            with running.client(**authority.certificate(dns=[f"{name}.example"]).options()) as client:
                proposals = ProposalServiceStub(client.channel)
                assert [*client.list_entries(MARKET, "s-1")] == []
                next(client.watch_entries(MARKET))
                for read in (client.get_trust_score, client.explain_trust_score):
                    refusal(read, MARKET, "s-1")
                with suppress(SellertrustCallError):
                    client.evaluate_measures(MARKET, "s-1")
                with suppress(SellertrustCallError):
                    client.evaluate_payout(
                        MARKET, "s-1", capture_day=date(2026, 1, 1), captured_minor=1, currency="EUR"
                    )
                with suppress(SellertrustCallError):
                    client.get_restitution(MARKET, "s-1", "v-1")
                with suppress(grpc.RpcError):
                    proposals.GetProposal(GetProposalRequest(name=f"marketplaces/{MARKET}/proposals/p"))
                proposals.ListProposals(ListProposalsRequest(parent=f"marketplaces/{MARKET}"))
    calls = [line for line in map(json.loads, path.read_text().splitlines()) if line["event"] == "call"]
    assert {line["caller"] for line in calls} == {"dns:ann.example"}
    assert [line["method"].rpartition("/")[2] for line in calls] == [
        *("ListEntries", "WatchEntries", "ExplainTrustScore", "EvaluateMeasures", "EvaluatePayout", "GetRestitution"),
        *("GetProposal", "ListProposals"),
    ]
    assert calls[2]["acted"] == {"seller": f"marketplaces/{MARKET}/sellers/s-1"}


def test_privileged_calls_are_audited_in_the_data_folder(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    write_grants(tmp_path / "grants.toml", grant("dns:a.example", ["decide"], entry_ids=["*"], actions=["*"]))
    shown = authority.certificate(dns=["a.example"]).options()
    named = authority.server_settings() | {"grants": tmp_path / "grants.toml"}
    for settings, options, caller in (({}, {}, "local"), (named, shown, "dns:a.example")):
        with (
            running_server(tmp_path, **settings) as running,
            running.client(**options) as client,
            suppress(SellertrustCallError),
        ):
            client.confirm_violation(MARKET, "v-1", actor="court", reason="so")
        call, end = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()][-2:]
        assert (call["caller"], call["marketplace"], end["marketplace"]) == (caller, MARKET, MARKET)
    (tmp_path / "audit.jsonl").unlink()
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(ConfigurationWrong, match="SELLERTRUST_DATA_DIR"), running_server(tmp_path):
        pass


def test_a_file_that_was_moved_away_is_followed_by_another(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    file = AuditFile(path)
    for number in range(6):
        file.write(number=number)
        if number == 2:
            path.rename(tmp_path / "old")
    assert [verify_audit(one)[0] for one in (tmp_path / "old", path)] == [3, 3]


@pytest.mark.long
def test_threads_and_files_share_one_chain(tmp_path: Path) -> None:
    files = [AuditFile(tmp_path / "audit") for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        written = {*pool.map(lambda number: files[number % 2].write(number=number), range(200))}
    assert verify_audit(tmp_path / "audit")[0] == len(written) == 200


def test_a_line_of_long_names_does_not_fill_the_disk(tmp_path: Path, client: Client) -> None:
    path = tmp_path / "audit.jsonl"
    client.append_entries(MARKET, [violation("v-1", "s")])
    entries = [entry_pb2.Entry(entry_id=f"{number}-{'x' * 5_000}", seller="y" * 5_000) for number in range(1_000)]
    for entry in entries:
        entry.override.SetInParent()
    assert refusal(client.append_entries, MARKET, entries).code is grpc.StatusCode.INVALID_ARGUMENT
    assert path.stat().st_size < 200_000
    client.confirm_violation(MARKET, "v-1", actor="court", reason="so")
    assert verify_audit(path)[0] == 4
    file = AuditFile(path)
    file.write(text="z" * 1_000_000)
    file.write(text="after it")
    assert verify_audit(path)[0] == 6


def test_no_text_of_callers_stands_in_place_of_an_id(tmp_path: Path, client: Client) -> None:
    path, prose, longest = tmp_path / "audit.jsonl", "Jo Doe of 1 Main Street", "i" * 128
    wanted = {"actor": "a", "reason": "so", "seller": longest, "execute": True, "expected_count": 1}
    for decision_id in (prose, "x" * 129, longest):
        refusal(
            client.decide_violations,
            MARKET,
            entry_pb2.ACTION_DISMISS,
            **wanted,
            decision_id=decision_id,
            etag=prose,
        )
    entry = entry_pb2.Entry(entry_id=prose)
    entry.status.violation, entry.status.action = prose, entry_pb2.ACTION_CONFIRM
    refusal(client.append_entries, MARKET, [entry])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    *decisions, batch = [line["acted"] for line in lines if line["event"] == "call"]
    assert [acted["decision_id"] for acted in decisions] == ["malformed", "malformed", longest]
    assert {acted["seller"] for acted in decisions} == {f"marketplaces/{MARKET}/sellers/{longest}"}
    assert [(one["entry_id"], one["about"], one["action"]) for one in batch["entries"]] == [
        ("malformed", "malformed", "confirm")
    ]
    assert "Doe" not in path.read_text()
