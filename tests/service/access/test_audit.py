"""The audit file: privileged calls, each bound to the one before, and none that is not written."""

import json
from pathlib import Path

import grpc
import pytest

from scoring.errors import ConfigurationWrong
from sellertrust.client import SellertrustCallError
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


def test_a_file_that_cannot_be_gone_on_with_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text('{"hash": "half')
    with pytest.raises(ConfigurationWrong, match="not whole"), running_server(tmp_path, audit_file=tmp_path / "audit"):
        pass
