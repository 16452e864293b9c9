import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.api.server import STOP_SECONDS
from service.ledger.clock import tail
from service.ledger.store import Ledger
from tests.helpers.builders import identity as domain_identity
from tests.helpers.databases import BACKENDS, database
from tests.helpers.limits import Limit
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, Running, identity, running_server, score_stub, violation

pytestmark = pytest.mark.long

READS: dict[str, Callable[..., Any]] = {
    "GetTrustScore": lambda client, **asked: client.get_trust_score(MARKET, "s", **asked),
    "BatchGetTrustScores": lambda client, **asked: client.batch_get_trust_scores(MARKET, ["s"], **asked),
    "ExplainTrustScore": lambda client, **asked: client.explain_trust_score(MARKET, "s", **asked),
    "ListEntries": lambda client, **asked: list(client.list_entries(MARKET, "s", **asked)),
    "GetViolation": lambda client, **asked: client.get_violation(MARKET, "v", **asked),
    "ListViolations": lambda client, **asked: list(client.list_violations(MARKET, **asked)),
}


@contextmanager
def filled_server(folder: Path, **settings: Any) -> Iterator[tuple[Running, Client]]:
    with running_server(folder, worker_threads=8, slow_threads=8, **settings) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "s"), violation("v", "s")])
        yield running, client


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_sees_at_least_its_sequence(tmp_path: Path, read: Callable[..., Any], limit: Limit) -> None:
    # a margin that the machine's load does not use up
    limit(tail, MARGIN_SECONDS=1.0)
    with filled_server(tmp_path) as (_, client):
        assert read(client, at_least_sequence=2)
        began = time.monotonic()
        error = refusal(read, client, at_least_sequence=3, deadline_seconds=1.4)
        assert time.monotonic() - began > 0.3
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_NOT_REACHED")
        assert error.metadata == {"last_sequence": "2"}
        began = time.monotonic()
        error = refusal(read, client, at_least_sequence=10**9, deadline_seconds=30)
        assert time.monotonic() - began < 15
        assert (error.reason, error.metadata) == ("SEQUENCE_NOT_REACHED", {"last_sequence": "2"})
        error = refusal(read, client, at_least_sequence=-1)
        assert (error.code, [field for field, _ in error.fields]) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            ["at_least_sequence"],
        )
        asked = {"at_least_sequence": 3, "known_time": datetime.now(UTC), "deadline_seconds": 5}
        error = refusal(read, client, **asked)
        assert [field for field, _ in error.fields] == ["at_least_sequence"]
        assert "excluded by known_time" in error.message
        assert read(client, **asked | {"at_least_sequence": 2})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_waiting_read_sees_what_is_appended_meanwhile(tmp_path: Path, backend: str) -> None:
    with (
        database(backend, tmp_path) as url,
        filled_server(tmp_path, database_url=url) as (_, client),
        Ledger.open(url) as elsewhere,
        ThreadPoolExecutor(1) as pool,
    ):
        appends: list[Callable[[], Any]] = [
            lambda: client.append_entries(MARKET, [identity("here", "s")]),
            lambda: elsewhere.append(MARKET, [domain_identity("elsewhere", "s")]),
            lambda: client.confirm_violation(MARKET, "v", actor="staff", reason="seen"),
        ]
        for sequence, append in enumerate(appends, 3):
            waiting = pool.submit(client.get_trust_score, MARKET, "s", at_least_sequence=sequence, deadline_seconds=60)
            time.sleep(0.3)
            assert not waiting.done()
            append()
            assert waiting.result().stamp.ledger_sequence == sequence


def test_without_a_deadline_a_read_waits_for_a_bounded_time(tmp_path: Path, limit: Limit) -> None:
    # a wait that a test can wait for
    limit(tail, WAIT_SECONDS=0.5)
    with filled_server(tmp_path) as (_, client):
        request = score_pb.GetTrustScoreRequest(seller=f"marketplaces/{MARKET}/sellers/s", at_least_sequence=9)
        began = time.monotonic()
        assert refusal(score_stub(client).GetTrustScore, request).code is grpc.StatusCode.FAILED_PRECONDITION
        assert 0.4 < time.monotonic() - began < 8


def test_waiting_reads_are_limited(tmp_path: Path, limit: Limit) -> None:
    # a margin that the machine's load does not use up
    limit(tail, MARGIN_SECONDS=2.0)
    with filled_server(tmp_path) as (_, client), ThreadPoolExecutor(12) as pool:
        asked = {"at_least_sequence": 100, "deadline_seconds": 6}
        waiting = [pool.submit(refusal, READS["GetTrustScore"], client, **asked) for _ in range(12)]
        time.sleep(0.5)
        for _ in range(20):
            client.get_trust_score(MARKET, "s", deadline_seconds=3)
        reasons = [result.result().reason for result in waiting]
        assert sorted(reasons) == ["SEQUENCE_NOT_REACHED"] * 2 + ["TOO_MANY_CALLS"] * 10
        assert client.get_trust_score(MARKET, "s", at_least_sequence=2).seller


def test_a_waiting_read_ends_with_its_server_or_caller(tmp_path: Path) -> None:
    with filled_server(tmp_path) as (running, client):
        request = score_pb.GetTrustScoreRequest(seller=f"marketplaces/{MARKET}/sellers/s", at_least_sequence=9)
        abandoned = score_stub(client).GetTrustScore.future(request, timeout=60)
        time.sleep(0.2)
        abandoned.cancel()
        until = time.monotonic() + 30
        while len(running.lines()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert len(running.lines()) == 2
        with ThreadPoolExecutor(1) as pool:
            asked = {"at_least_sequence": 9, "deadline_seconds": 30}
            with Client(running.address, service_config={}) as impatient:
                waiting = pool.submit(refusal, READS["GetTrustScore"], impatient, **asked)
                time.sleep(0.3)
                began = time.monotonic()
                stopping = threading.Thread(target=running.server.drain)
                stopping.start()
                assert waiting.result().reason == "SERVER_STOPPING"
                stopping.join()
                assert time.monotonic() - began < STOP_SECONDS
