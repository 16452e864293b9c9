"""The audit file: privileged calls, each bound to the one before, and none that is not written."""

import json
from pathlib import Path

import grpc
import pytest

from scoring.errors import ConfigurationWrong
from sellertrust.client import SellertrustCallError
from sellertrust.v1 import entry_pb2, ledger_service_pb2
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.access.audit import AuditFile, verify_audit
from tests.servers import MARKET, running_server, violation


def test_lines_are_chained_and_a_change_is_found(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    for number in range(3):  # also by another process, or after a restart
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
    ):
        path.write_text("".join(changed))
        with pytest.raises(ValueError, match="line"):
            verify_audit(path)


def test_privileged_calls_are_written_and_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    with running_server(tmp_path, audit_file=path) as running, running.client() as client:
        client.append_entries(MARKET, [violation("v-1", "s")])
        client.confirm_violation(MARKET, "v-1", actor="court", reason="a secret")
        client.get_violation(MARKET, "v-1")
        with pytest.raises(SellertrustCallError):
            client.confirm_violation(MARKET, "absent", actor="court", reason="so")
        [first, second] = [json.loads(line) for line in path.read_text().splitlines()]
        assert (first["caller"], first["method"]) == ("local", "LedgerService/ConfirmViolation")
        assert (first["rights"], first["named"]) == (["decide"], f"marketplaces/{MARKET}/violations/v-1")
        assert second["named"].endswith("absent")
        assert "secret" not in path.read_text()
        path.unlink()
        path.mkdir()  # nothing can be written there
        with pytest.raises(SellertrustCallError) as caught:
            client.overturn_violation(MARKET, "v-1", actor="court", reason="so", deadline_seconds=1)
        assert caught.value.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        assert len(client.get_violation(MARKET, "v-1").entries) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [('{"hash": "half', "not whole"), ("{}\n", "none of an audit file"), ("5\n", "none of an audit file")],
)
def test_a_file_that_cannot_be_gone_on_with_stops_the_start(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "audit").write_text(content)
    with pytest.raises(ConfigurationWrong, match=problem), running_server(tmp_path, audit_file=tmp_path / "audit"):
        pass


def test_every_batch_of_a_stream_is_written_whether_it_names_the_marketplace_again_or_not(tmp_path: Path) -> None:
    """The contract lets later batches leave `parent` empty."""
    path = tmp_path / "audit"
    with running_server(tmp_path, audit_file=path) as running, running.client() as client:
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
        assert [line["named"] for line in lines] == [f"marketplaces/{MARKET}"] * 2
