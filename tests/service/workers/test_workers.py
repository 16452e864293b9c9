"""One server of several processes."""

import json
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sellertrust.client import Client
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.trust_score_service_pb2_grpc import TrustScoreServiceStub
from service.access.audit_reading import verify_audit
from tests.helpers.databases import database
from tests.helpers.filled import SELLERS
from tests.helpers.load import Plan, loading
from tests.helpers.servers import MARKET, violation
from tests.helpers.waiting import wait_until
from tests.service.workers.conftest import Workers, ask, channel_of, serving_workers

KILLED_UNDER_LOAD_SECONDS = 6.0


def test_calls_reach_both_processes(workers: Workers) -> None:
    """Calls of many connections reach both processes and are counted in one scrape."""
    before = workers.samples()
    for number in range(24):
        assert ask(workers.address, number).trust_score.points
    after = workers.samples()
    counted = [
        after.get(("sellertrust_requests_total", process, "OK"), 0.0)
        - before.get(("sellertrust_requests_total", process, "OK"), 0.0)
        for process in ("1", "2")
    ]
    assert sum(counted) == 24
    assert min(counted) > 0
    assert after["sellertrust_process_up", "1", ""] == after["sellertrust_process_up", "2", ""] == 1
    assert after["sellertrust_serving", "1", ""] == after["sellertrust_serving", "2", ""] > 1


def test_an_append_by_one_process_is_seen_by_the_other(workers: Workers) -> None:
    """An append by one process is seen by callers that ask the other for its sequence."""
    with Client(workers.address, deadline_seconds=30) as client:
        [result] = client.append_entries(MARKET, [violation("seen", "s7")])
    sequence = result.sequence
    for _ in range(12):
        with Client(workers.address, deadline_seconds=30) as client:
            assert client.get_trust_score(MARKET, "s7", at_least_sequence=sequence).stamp.ledger_sequence >= sequence


def test_the_audit_file_of_all_processes_is_one_unbroken_chain(workers: Workers) -> None:
    def confirm(number: int) -> None:
        request = ledger_pb.ConfirmViolationRequest(
            name=f"marketplaces/{MARKET}/violations/v{number}-0", actor="reviewer", reason="seen"
        )
        with channel_of(workers.address) as channel:
            LedgerServiceStub(channel).ConfirmViolation(request, timeout=20)

    before = Counter(line["process"] for line in requests_of(workers, "ConfirmViolation"))
    with ThreadPoolExecutor(4) as pool:
        [*pool.map(confirm, range(24))]
    wait_until(lambda: len(requests_of(workers, "ConfirmViolation")) == 24 + before.total())
    assert {line["process"] for line in requests_of(workers, "ConfirmViolation")} == {1, 2}
    count, _ = verify_audit(workers.folder / "audit.jsonl")
    assert count == 48


def test_a_seller_has_one_pseudonym_in_all_processes(workers: Workers) -> None:
    request = score_pb.ExplainTrustScoreRequest(seller=f"marketplaces/{MARKET}/sellers/s1")
    for _ in range(16):
        with channel_of(workers.address) as channel:
            TrustScoreServiceStub(channel).ExplainTrustScore(request, timeout=20)
    wait_until(lambda: len(requests_of(workers, "ExplainTrustScore")) == 16)
    assert {line["process"] for line in requests_of(workers, "ExplainTrustScore")} == {1, 2}
    assert len({line["seller"] for line in requests_of(workers, "ExplainTrustScore")}) == 1


@pytest.mark.long
def test_no_call_fails_when_a_process_is_killed(workers: Workers) -> None:
    """No call of the published client fails when a process is killed under load."""
    plan = Plan(
        workers.address,
        KILLED_UNDER_LOAD_SECONDS,
        at_a_time=4,
        deadline_seconds=20,
        sellers=SELLERS,
        is_published=True,
    )
    before, answered = workers.pids(), len(requests_of(workers, "GetTrustScore"))
    with loading([plan] * 2) as found:
        wait_until(lambda: len(requests_of(workers, "GetTrustScore")) > answered + 40)
        os.kill(before[1], signal.SIGKILL)
        wait_until(lambda: workers.pids().get(1) not in {None, before[1]})
        wait_until(workers.is_up)
    codes = sum((Counter(one.codes) for one in found), Counter[str]())
    assert codes["OK"] > 100
    assert codes.total() == codes["OK"], codes


@pytest.mark.long
def test_a_stopped_process_is_replaced(workers: Workers) -> None:
    """A process that is stopped is killed and replaced and the other answers meanwhile."""
    stopped, other = workers.pids()[2], workers.pids()[1]
    os.kill(stopped, signal.SIGSTOP)
    with Client(workers.address, deadline_seconds=30) as client:
        wait_until(lambda: workers.pids().get(2) not in {None, stopped})
        wait_until(workers.is_up)
        assert client.get_trust_score(MARKET, "s1").points
    assert workers.pids()[1] == other
    assert workers.samples()["sellertrust_process_restarts_total", "2", "silent"] == 1
    with pytest.raises(ProcessLookupError):
        os.kill(stopped, 0)


@pytest.mark.long
def test_a_sigterm_says_not_serving_and_ends_all_with_0(tmp_path) -> None:
    with database("postgresql", tmp_path) as url, serving_workers(tmp_path, url) as running:
        with grpc.insecure_channel(running.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            pids = running.pids()
            running.process.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert running.process.wait(60) == 0
        assert running.log().count('"event": "stopped"') == 2
        for pid in pids.values():
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def requests_of(workers: Workers, method: str) -> list[dict[str, object]]:
    whole = workers.log().rpartition("\n")[0]
    lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
    return [line for line in lines if str(line.get("method", "")).endswith(method) and line["code"] == "OK"]
