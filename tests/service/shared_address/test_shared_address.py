import json
import os
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sellertrust.client import Client
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.trust_score_service_pb2_grpc import TrustScoreServiceStub
from service.access.audit_reading import verify_audit
from tests.helpers.filled import SELLERS
from tests.helpers.load import Plan, loading
from tests.helpers.servers import MARKET, violation
from tests.helpers.shells import shell_of
from tests.helpers.waiting import wait_until
from tests.service.shared_address.conftest import NUMBERS, Pair, ask, channel_of

UNDER_LOAD_SECONDS = 20.0
RECORDED = ("sellertrust_mechanism_recorded_total", "")


def test_calls_reach_both_servers(pair: Pair) -> None:
    before = pair.of_each("sellertrust_requests_total", "OK")
    for number in range(24):
        assert ask(pair.address, number).trust_score.points
    counted = [now - then for now, then in zip(pair.of_each("sellertrust_requests_total", "OK"), before, strict=True)]
    assert sum(counted) == 24
    assert min(counted) > 0


def test_an_append_by_one_server_is_seen_by_the_other(pair: Pair) -> None:
    with Client(pair.address, deadline_seconds=30) as client:
        [result] = client.append_entries(MARKET, [violation("seen", "s7")])
    sequence = result.sequence
    for _ in range(12):
        with Client(pair.address, deadline_seconds=30) as client:
            assert client.get_trust_score(MARKET, "s7", at_least_sequence=sequence).stamp.ledger_sequence >= sequence


def test_the_audit_file_of_both_servers_is_one_unbroken_chain(pair: Pair) -> None:
    def confirm(number: int) -> None:
        request = ledger_pb.ConfirmViolationRequest(
            name=f"marketplaces/{MARKET}/violations/v{number}-0", actor="reviewer", reason="seen"
        )
        with channel_of(pair.address) as channel:
            LedgerServiceStub(channel).ConfirmViolation(request, timeout=20)

    with ThreadPoolExecutor(4) as pool:
        [*pool.map(confirm, range(24))]
    wait_until(lambda: sum(map(len, requests_of(pair, "ConfirmViolation"))) == 24)
    assert all(requests_of(pair, "ConfirmViolation"))
    count, _ = verify_audit(pair.folder / "audit.jsonl")
    assert count == 48


def test_a_seller_has_one_pseudonym_in_both_servers(pair: Pair) -> None:
    request = score_pb.ExplainTrustScoreRequest(seller=f"marketplaces/{MARKET}/sellers/s1")
    for _ in range(16):
        with channel_of(pair.address) as channel:
            TrustScoreServiceStub(channel).ExplainTrustScore(request, timeout=20)
    wait_until(lambda: sum(map(len, requests_of(pair, "ExplainTrustScore"))) == 16)
    assert all(requests_of(pair, "ExplainTrustScore"))
    assert len({line["seller"] for lines in requests_of(pair, "ExplainTrustScore") for line in lines}) == 1


@pytest.mark.long
def test_one_server_records_measures_and_the_other_takes_over(pair: Pair) -> None:
    wait_until(lambda: [RECORDED in pair.samples(number) for number in NUMBERS] == [True, False])
    pair.stop(1)
    wait_until(lambda: RECORDED in pair.samples(2))
    pair.start(1)


@pytest.mark.long
def test_no_call_fails_while_servers_restart_or_die(pair: Pair) -> None:
    plan = Plan(pair.address, UNDER_LOAD_SECONDS, 4, deadline_seconds=20, sellers=SELLERS, is_published=True)
    with loading([plan] * 2) as found:
        before = sum(pair.of_each("sellertrust_requests_total", "OK"))
        wait_until(lambda: sum(pair.of_each("sellertrust_requests_total", "OK")) > before + 40)
        for number in NUMBERS:
            pair.stop(number)
            pair.start(number)
        pair.processes[1].kill()
        pair.processes[1].wait()
        pair.start(1)
    codes = sum((Counter(one.codes) for one in found), Counter[str]())
    assert codes["OK"] > 50
    assert codes.total() == codes["OK"], codes


def test_an_address_that_is_not_shared_is_refused(pair: Pair, tmp_path: Path) -> None:
    said = shell_of(tmp_path, address=pair.address).error(6, "serve")
    assert f"cannot listen on {pair.address}" in said


def test_systemd_hears_that_a_server_lives(pair: Pair, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        pair.stop(2)
        pair.shell.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        try:
            pair.start(2)
        finally:
            del pair.shell.environment["NOTIFY_SOCKET"]
        assert [systemd.recv(100) for _ in range(2)] == [b"READY=1\nWATCHDOG=1"] * 2
        os.kill(pair.processes[2].pid, signal.SIGSTOP)
        systemd.setblocking(False)
        with suppress(BlockingIOError):
            while systemd.recv(100):
                pass
        systemd.settimeout(5)
        with pytest.raises(TimeoutError):
            systemd.recv(100)
        os.kill(pair.processes[2].pid, signal.SIGCONT)
        pair.stop(2)
        said = [b""]
        while said[-1] != b"STOPPING=1":
            said.append(systemd.recv(100))
        pair.start(2)


def requests_of(pair: Pair, method: str) -> list[list[dict[str, object]]]:
    found = []
    for number in NUMBERS:
        whole = pair.log(number).rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        found.append([line for line in lines if str(line.get("method", "")).endswith(method) and line["code"] == "OK"])
    return found
