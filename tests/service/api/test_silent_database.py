import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from scoring.base.errors import LedgerUnavailable
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.ledger.clock import tail
from service.ledger.database import database
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET as MARKET_OF_LEDGERS
from tests.helpers.builders import violation
from tests.helpers.databases import database as new_database
from tests.helpers.hanging_postgresql import KINDS, HangingPostgresql, hanging_postgresql
from tests.helpers.limits import Limit
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, NOT_SERVING, SERVING, health_of, identity, running_server
from tests.helpers.servers import violation as reported
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact

pytestmark = pytest.mark.long

PATIENCE = 60.0

SERVE = """
import sys
from pathlib import Path
from service.ledger.store import Ledger
from service.bootstrap import build_server
from service.api.serving import serve
from tests.helpers.worlds import policy
from tests.helpers.servers import settings_of
settings = settings_of(data_dir=Path(sys.argv[1]), drain_seconds=0, database_url=sys.argv[2])
ledger = Ledger.open(settings.database_url)
sys.exit(serve(build_server(settings, ledger, policy()), ledger, ready=lambda server: print(server.address, flush=True)))
"""
HOLD = """
import sys, time
from service.ledger.database import database
from service.ledger.clock import tail
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


@pytest.mark.parametrize("kind", KINDS)
def test_no_statement_waits_for_ever_for_a_database_that_hangs(postgresql: HangingPostgresql, kind: str) -> None:
    def within(connect: Any, statement: str) -> None:
        with connect() as connection:
            connection.exec_driver_sql(statement)

    def writing(place: database.Database) -> None:
        with place.write() as connection:
            begun.append(1)
            wait_until(lambda: bool(stopped))
            connection.exec_driver_sql("SELECT 1")

    begun: list[int] = []
    stopped: list[int] = []
    place = database.Database(postgresql.urls[kind])
    with Ledger.open(postgresql.urls[kind]) as ledger, ThreadPoolExecutor(8) as pool:
        ledger.database.ping()
        under_way = [pool.submit(within, place.read, "SELECT pg_sleep(600)")]
        under_way += [pool.submit(within, place.snapshot, "SELECT pg_sleep(600)"), pool.submit(writing, place)]
        wait_until(lambda: bool(begun))
        time.sleep(0.3)
        with postgresql.hanging():
            stopped.append(1)
            begins = [
                pool.submit(ledger.database.ping),
                pool.submit(ledger.append, MARKET_OF_LEDGERS, [violation("v")]),
            ]
            begins.append(pool.submit(Ledger.open, postgresql.urls[kind]))
            for call in under_way + begins:
                assert isinstance(call.exception(PATIENCE), LedgerUnavailable)
        ledger.database.ping()
        place.close()


@pytest.mark.parametrize("kind", KINDS)
def test_calls_are_answered_while_the_database_hangs(tmp_path: Path, postgresql: HangingPostgresql, kind: str) -> None:
    with running_server(tmp_path, database_url=postgresql.urls[kind], book_sellers=0) as running:
        with running.client(service_config={}) as client:
            client.append_entries(MARKET, [identity(f"i-{kind}", "s")])
            services = ("LedgerService", "TrustScoreService", "ReviewService")
            with postgresql.hanging():
                for call in (
                    lambda: client.get_trust_score(MARKET, "s", deadline_seconds=PATIENCE),
                    lambda: client.append_entries(MARKET, [identity("j", "s")], deadline_seconds=PATIENCE),
                    lambda: list(client.list_entries(MARKET, deadline_seconds=PATIENCE)),
                ):
                    assert refusal(call).reason == "LEDGER_UNAVAILABLE"
                wait_until(lambda: {health_of(running.address, name) for name in services} == {NOT_SERVING})
                assert health_of(running.address) == SERVING
                assert health_of(running.address, "ModelService") == SERVING
            wait_until(lambda: {health_of(running.address, name) for name in services} == {SERVING})
            assert client.get_trust_score(MARKET, "s", deadline_seconds=PATIENCE).seller
        assert {line["problem"] for line in running.lines("ledger does not answer")} == {"it gives no answer in time"}
        assert running.lines("ledger answers again")


def test_remembered_sellers_are_answered_without_database(tmp_path: Path, postgresql: HangingPostgresql) -> None:
    settings: Any = {"database_url": postgresql.urls["socket"], "artifact": artifact()}
    with running_server(tmp_path, **settings) as running, running.client(service_config={}) as client:
        append = [identity("i-known", "known"), identity("i-other", "other")]
        last = client.append_entries(MARKET, append)[-1].sequence
        before = client.get_trust_score(MARKET, "known")
        assert before.freshness.state == score_pb.FRESHNESS_STATE_FRESH
        book = running.book
        assert book.follower.reach(last, PATIENCE)
        with postgresql.hanging():
            wait_until(lambda: book.follower.is_away and book.follower.age() > 2)
            known = client.get_trust_score(MARKET, "known", at_least_sequence=last)
            assert (known.points, known.tier) == (before.points, before.tier)
            assert known.freshness.state == score_pb.FRESHNESS_STATE_STALE
            assert known.freshness.age.ToTimedelta().total_seconds() > 1
            for found in (client.get_trust_score(MARKET, name) for name in ("other", "nobody")):
                assert found.state == score_pb.SCORE_STATE_UNKNOWN
                assert found.freshness.state == score_pb.FRESHNESS_STATE_UNKNOWN
            states = [r.trust_score.freshness.state for r in client.batch_get_trust_scores(MARKET, ["known", "nobody"])]
            assert states == [score_pb.FRESHNESS_STATE_STALE, score_pb.FRESHNESS_STATE_UNKNOWN]
            for asked, reason in (
                ({"at_least_sequence": last + 1}, "LEDGER_UNAVAILABLE"),
                ({"max_staleness": "fresh"}, "TOO_STALE"),
            ):
                error = refusal(client.get_trust_score, MARKET, "known", **asked)
                assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
                assert error.retry_delay == 1
            error = refusal(client.append_entries, MARKET, [identity("late", "known")], deadline_seconds=PATIENCE)
            assert error.reason == "LEDGER_UNAVAILABLE"
            wait_until(lambda: health_of(running.address, "LedgerService") == NOT_SERVING)
            assert health_of(running.address, "ReviewService") == NOT_SERVING
            assert health_of(running.address, "TrustScoreService") == SERVING
        wait_until(lambda: client.get_trust_score(MARKET, "known").freshness.state == score_pb.FRESHNESS_STATE_FRESH)
        wait_until(lambda: client.get_trust_score(MARKET, "other").state != score_pb.SCORE_STATE_UNKNOWN)
        assert client.get_trust_score(MARKET, "known", max_staleness="fresh").points == before.points


def test_appends_are_refused_before_absence_is_known(
    tmp_path: Path, postgresql: HangingPostgresql, limit: Limit
) -> None:
    # an append gives up well before the follower knows of the absence
    limit(tail, WRITE_TICKS=10)
    settings: Any = {"database_url": postgresql.urls["socket"], "artifact": artifact()}
    with running_server(tmp_path, **settings) as running, running.client(service_config={}) as client:
        last = client.append_entries(MARKET, [identity("i-seen", "seen"), identity("i-unseen", "unseen")])[-1].sequence
        client.get_trust_score(MARKET, "seen")
        book = running.book
        assert book.follower.reach(last, PATIENCE)
        client.get_trust_score(MARKET, "unseen", at_least_sequence=last)
        asked: Any = {"at_least_sequence": last + 1, "deadline_seconds": PATIENCE}
        for call in (
            lambda: client.append_entries(MARKET, [identity("j", "seen")], deadline_seconds=PATIENCE),
            lambda: client.confirm_violation(MARKET, "v", actor="a", reason="r", deadline_seconds=PATIENCE),
            lambda: next(client.stream_entries(MARKET, [[identity("k", "seen")]], patience_seconds=0)),
            lambda: client.get_trust_score(MARKET, "unseen", **asked),
            lambda: client.explain_trust_score(MARKET, "unseen", **asked),
        ):
            wait_until(lambda: not book.follower.is_away and book.follower.age() < 1)
            time.sleep(0.2)
            with postgresql.hanging():
                error = refusal(call)
                assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE")
                assert not book.follower.is_away
                assert client.get_trust_score(MARKET, "seen").freshness.state != score_pb.FRESHNESS_STATE_UNKNOWN


def test_calls_that_hang_leave_threads_to_those_without_database(tmp_path: Path, postgresql: HangingPostgresql) -> None:
    settings: Any = {"database_url": postgresql.urls["socket"], "artifact": artifact()}
    with (
        running_server(tmp_path, **settings) as running,
        running.client(service_config={}) as client,
        ThreadPoolExecutor(64) as pool,
    ):
        book = running.book
        client.append_entries(MARKET, [identity("i-held", "held"), reported("v-held", "held")])
        client.get_trust_score(MARKET, "held")
        asked: Any = {"deadline_seconds": PATIENCE}
        decision: Any = {"actor": "a", "reason": "r", "seller": "held"}
        review, audit = client, client
        waiting: list[Callable[[], object]] = [
            lambda: client.get_violation(MARKET, "v-held", **asked),
            lambda: client.get_trust_score(MARKET, "unheard-of", **asked),
            lambda: client.batch_get_trust_scores(MARKET, ["unheard-of"], **asked),
            lambda: list(review.list_review_queue(MARKET, **asked)),
            lambda: review.decide_violations(MARKET, entry_pb2.ACTION_DISMISS, **decision, **asked),
            lambda: list(client.list_policy_moves(**asked)),
        ]
        with postgresql.hanging():
            calls = [pool.submit(call) for call in waiting * 8]
            wait_until(lambda: book.follower.age() > 2)
            for _ in range(4):
                found = client.get_trust_score(MARKET, "held", deadline_seconds=1)
                [of_batch] = client.batch_get_trust_scores(MARKET, ["held"], deadline_seconds=1)
                for score in (found, of_batch.trust_score):
                    assert score.state == score_pb.SCORE_STATE_UNRATED
                    assert score.freshness.state == score_pb.FRESHNESS_STATE_STALE
                audit.verify_audit(deadline_seconds=1)
            assert not all(call.done() for call in calls)


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
                time.sleep(0.3)
                process.send_signal(signal.SIGTERM)
                _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, log
    assert '"event": "stopped"' in log


def test_a_stopped_writer_does_not_hold_the_lock_for_ever(tmp_path: Path, limit: Limit) -> None:
    # a wait that a test can wait for
    limit(database, WAIT_SECONDS=1)
    with (
        new_database("postgresql", tmp_path) as url,
        Ledger.open(url) as ledger,
        subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True) as holder,
    ):
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: _appends(ledger))
        finally:
            holder.kill()


def _appends(ledger: Ledger) -> bool:
    try:
        ledger.append(MARKET_OF_LEDGERS, [violation("v")])
    except LedgerUnavailable:
        return False
    return True
