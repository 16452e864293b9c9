"""A PostgreSQL that was stopped dead: calls are answered in time, health says so, and SIGTERM ends the process."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scoring.errors import LedgerUnavailable
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from service.ledger import database
from service.ledger.schema import upgrade
from service.ledger.store import Ledger
from tests.builders import MARKET as MARKET_OF_LEDGERS
from tests.builders import violation
from tests.databases import database as new_database
from tests.hanging_postgresql import KINDS, HangingPostgresql, hanging_postgresql
from tests.servers import MARKET, identity, running_server

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE = 60.0
"""Seconds after which a test says that something waits for ever."""

SERVE = """
import sys
from pathlib import Path
from service.ledger.store import Ledger
from service.bootstrap import build_server
from service.api.server import serve
from tests.scoring.worlds import policy
from tests.servers import settings_of
settings = settings_of(data_dir=Path(sys.argv[1]), drain_seconds=0, database_url=sys.argv[2])
ledger = Ledger.open(settings.database_url)
sys.exit(serve(build_server(settings, ledger, policy()), ledger, ready=lambda server: print(server.address, flush=True)))
"""
HOLD = """
import sys, time
from service.ledger import database
database.IDLE_SECONDS = 1
with database.Database(sys.argv[1]).write():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[HangingPostgresql]:
    with hanging_postgresql() as server:
        upgrade(server.urls["socket"])
        yield server


def health_of(address: str, service: str = "") -> int:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=f"sellertrust.v1.{service}" if service else "")
        return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status)


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_no_statement_waits_for_ever_for_a_database_that_hangs(postgresql: HangingPostgresql, kind: str) -> None:
    """Neither one that was under way, nor one that begins, nor a transaction that holds the lock."""

    def within(connect: Any, statement: str) -> None:
        with connect() as connection:
            connection.exec_driver_sql(statement)

    def writing(place: database.Database) -> None:
        with place.write() as connection:
            begun.append(1)
            wait_for(lambda: bool(stopped))
            connection.exec_driver_sql("SELECT 1")

    begun: list[int] = []
    stopped: list[int] = []
    place = database.Database(postgresql.urls[kind])
    with Ledger.open(postgresql.urls[kind]) as ledger, ThreadPoolExecutor(8) as pool:
        ledger.ping()
        under_way = [pool.submit(within, place.read, "SELECT pg_sleep(600)")]
        under_way += [pool.submit(within, place.snapshot, "SELECT pg_sleep(600)"), pool.submit(writing, place)]
        wait_for(lambda: bool(begun))
        time.sleep(0.3)  # so that the others have begun too
        with postgresql.hanging():
            stopped.append(1)
            begins = [pool.submit(ledger.ping), pool.submit(ledger.append, MARKET_OF_LEDGERS, [violation("v")])]
            begins.append(pool.submit(Ledger.open, postgresql.urls[kind]))
            for call in under_way + begins:
                assert isinstance(call.exception(PATIENCE), LedgerUnavailable)
        ledger.ping()
        place.close()


@pytest.mark.parametrize("kind", KINDS)
def test_calls_are_answered_and_health_says_so_while_the_database_hangs(
    tmp_path: Path, postgresql: HangingPostgresql, kind: str
) -> None:
    with running_server(tmp_path, database_url=postgresql.urls[kind]) as running:
        with running.client(service_config={}) as client:
            client.append_entries(MARKET, [identity(f"i-{kind}", "s")])
            services = ("LedgerService", "TrustScoreService", "ReviewService")
            with postgresql.hanging():
                for call in (
                    lambda: client.get_trust_score(MARKET, "s", deadline_seconds=PATIENCE),
                    lambda: client.append_entries(MARKET, [identity("j", "s")], deadline_seconds=PATIENCE),
                    lambda: list(client.list_entries(MARKET, deadline_seconds=PATIENCE)),
                ):
                    with pytest.raises(SellertrustCallError) as caught:
                        call()
                    assert caught.value.reason == "LEDGER_UNAVAILABLE"
                wait_for(lambda: {health_of(running.address, name) for name in services} == {NOT_SERVING})
                assert health_of(running.address) == SERVING
                assert health_of(running.address, "ModelService") == SERVING
            wait_for(lambda: {health_of(running.address, name) for name in services} == {SERVING})
            assert client.get_trust_score(MARKET, "s", deadline_seconds=PATIENCE).seller
        assert running.lines("ledger does not answer")
        assert running.lines("ledger answers again")


def test_sigterm_ends_a_server_whose_database_hangs(tmp_path: Path, postgresql: HangingPostgresql) -> None:
    command = [sys.executable, "-c", SERVE, str(tmp_path), postgresql.urls["socket"]]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ThreadPoolExecutor(4) as pool,
    ):
        address = process.stdout.readline().strip() if process.stdout else ""
        with Client(address, service_config={}) as client:
            client.append_entries(MARKET, [identity("k", "s")])
            with postgresql.hanging():
                for _ in range(4):
                    pool.submit(client.get_trust_score, MARKET, "s", deadline_seconds=PATIENCE)
                time.sleep(0.3)  # so that they wait for the database
                process.send_signal(signal.SIGTERM)
                _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, log
    assert '"event": "stopped"' in log


def test_a_writer_that_was_stopped_in_its_transaction_does_not_hold_the_lock_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile an append is given up when it has waited for the lock as long as it may, and not a statement's time."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 1)
    with (
        new_database("postgresql", tmp_path) as url,
        Ledger.open(url) as ledger,
        subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True) as holder,
    ):
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: _appends(ledger))
        finally:
            holder.kill()


def test_a_lock_is_waited_for_as_long_as_it_may_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 1)
    with (
        new_database("postgresql", tmp_path) as url,
        Ledger.open(url) as ledger,
        closing(database.Database(url)) as holder,
        holder.write(),
    ):
        with pytest.raises(LedgerUnavailable) as caught:
            ledger.append(MARKET_OF_LEDGERS, [violation("v")])
        assert isinstance(getattr(caught.value.__cause__, "orig", None), psycopg.errors.LockNotAvailable)


def _appends(ledger: Ledger) -> bool:
    try:
        ledger.append(MARKET_OF_LEDGERS, [violation("v")])
    except LedgerUnavailable:
        return False
    return True
