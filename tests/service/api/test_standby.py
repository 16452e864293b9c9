import json
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import ledger_service_pb2 as pb
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.helpers.books import known
from tests.helpers.brokers import kafka, produce
from tests.helpers.builders import TODAY, Clock
from tests.helpers.builders import confirmed as domain_confirmed
from tests.helpers.builders import exposure as exposure_of
from tests.helpers.builders import identity as domain_identity
from tests.helpers.hanging_postgresql import HangingPostgresql, hanging_postgresql
from tests.helpers.models import publish
from tests.helpers.payloads import exposure as fact
from tests.helpers.policies import TIERS
from tests.helpers.processes import COMMAND
from tests.helpers.recordings import Told
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, exposure, identity, running_server
from tests.helpers.shells import serving, shell_of
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact

pytestmark = pytest.mark.long


@dataclass
class Standby:
    """A PostgreSQL that follows another by streaming replication, over TCP."""

    port: int
    control: Callable[..., None]

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres", autocommit=True)

    def cut_off(self) -> None:
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            wait_until(lambda: connection.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchall() == [(0,)])

    def last(self) -> int:
        with self.connect() as connection:
            [(last,)] = connection.execute("SELECT coalesce(max(sequence), 0) FROM entry").fetchall()
            return int(last)


@dataclass
class Pair:
    """A primary and its standby; `url` leads to the writable server."""

    primary: HangingPostgresql
    standby: Standby
    url: str

    def cut_off_at(self, sequence: int) -> None:
        wait_until(lambda: self.standby.last() == sequence)
        self.standby.cut_off()

    def fail_over(self) -> None:
        # A program started beside gRPC's threads may crash.
        self.primary.process.send_signal(signal.SIGQUIT)
        self.primary.process.wait(20)
        with self.standby.connect() as connection:
            connection.execute("SELECT pg_promote()")


@contextmanager
def following(primary: HangingPostgresql) -> Iterator[Standby]:
    standby = primary.folder / "standby"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    primary.execute("pg_basebackup", "-d", primary.urls["tcp"], "-D", str(standby), "-R", "-c", "fast")

    def control(*arguments: str) -> None:
        primary.execute("pg_ctl", "-D", str(standby), *arguments)

    options = (
        f"-h 127.0.0.1 -p {port} -k {standby} -c fsync=off -c synchronous_commit=off -c sellertrust.durability=relaxed"
    )
    control("-w", "-o", options, "-l", str(standby / "log"), "start")
    try:
        yield Standby(port, control)
    finally:
        control("-m", "immediate", "stop")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with hanging_postgresql() as primary:
        tcp = primary.urls["tcp"]
        upgrade(tcp)
        with following(primary) as standby:
            port = tcp.rpartition(":")[2].partition("/")[0]
            url = f"postgresql://postgres@/postgres?host=127.0.0.1:{port}&host=127.0.0.1:{standby.port}"
            yield Pair(primary, standby, url + "&target_session_attrs=read-write")


def test_what_was_remembered_of_lost_entries_is_dropped(pair: Pair, tmp_path: Path) -> None:
    with (
        running_server(tmp_path, artifact=artifact(), database_url=pair.url) as running,
        running.client() as client,
    ):
        client.append_entries(MARKET, [identity("i", "s1")])
        [kept] = client.append_entries(MARKET, [exposure("x", "s1", 2_000)])
        policy = running.scorer.policy.now
        pair.cut_off_at(kept.sequence)
        seen: list[pb.WatchEntriesResponse] = []
        ends: list[str] = []

        def watch() -> None:
            try:
                seen.extend(client.watch_entries(MARKET, after_sequence=kept.sequence - 1))
            except SellertrustCallError as error:
                ends.append(error.reason)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        client.commit_policy(TIERS.read_text(), expected=policy.digest, actor="anna", reason="lost")
        lost = running.ledger.append(MARKET, [domain_confirmed(f"c{n}", "s1") for n in range(3)])[-1].sequence
        assert lost > kept.sequence + 3
        guilty = client.get_trust_score(MARKET, "s1", at_least_sequence=lost)
        wait_until(lambda: bool(seen) and seen[-1].sequence == lost)
        pair.fail_over()
        book = running.book
        wait_until(lambda: book.follower.restarts == 1 and book.follower.age() < 2 and not book.follower.is_away)
        running.scorer.policy.refresh()
        found = client.get_trust_score(MARKET, "s1")
        assert (found.stamp.ledger_sequence, found.stamp.policy_digest) == (kept.sequence, policy.digest)
        assert (found.points or 0) > (guilty.points or 0)
        assert (
            refusal(client.get_trust_score, MARKET, "s1", at_least_sequence=lost, deadline_seconds=3).reason
            == "SEQUENCE_NOT_REACHED"
        )
        watcher.join(20)
        assert ends == ["SEQUENCE_NOT_REACHED"]
        held, sent = (next(one for one in seen if one.sequence >= end) for end in (kept.sequence, lost))
        assert held.sequence == kept.sequence
        for _ in range(2):
            ended = refusal(next, client.watch_entries(MARKET, resume_token=sent.resume_token))
            assert ended.reason == "SEQUENCE_NOT_REACHED"
            more = running.ledger.append(
                MARKET, [domain_identity(f"j{n}", f"t{n}") for n in range(lost - kept.sequence)]
            )
        assert more[-1].sequence == lost
        resumed = next(client.watch_entries(MARKET, resume_token=held.resume_token))
        assert [entry.entry_id for entry in resumed.entries][:1] == ["j0"]
        # A number alone says nothing of what stood there: it is taken as a place in the ledger of now.
        assert next(client.watch_entries(MARKET, after_sequence=lost)).sequence == lost
        assert client.get_trust_score(MARKET, "s1", at_least_sequence=lost).points == found.points


def test_files_made_of_lost_entries_are_refused(pair: Pair, tmp_path: Path) -> None:
    publish(Registry(tmp_path / "registry"))
    shell = shell_of(tmp_path, database_url=pair.url, policy=TIERS)
    early, late, log = (tmp_path / name for name in ("early.jsonl", "late.jsonl", "server.log"))
    with Ledger.open(pair.url) as ledger:
        [*_, kept] = ledger.append(MARKET, known("a"))
        key = shell.json("ledger", "checkpoint", early)["public_key"]
        pair.cut_off_at(kept.sequence)
        [*_, lost] = ledger.append(MARKET, known("b"))
    shell("ledger", "checkpoint", late)
    made = shell.json("rescore")
    assert (made["sellers"], made["sequence"]) == (2, lost.sequence)
    pair.fail_over()
    for remark in ("ends before the checkpoint", "is not the one of the checkpoint"):
        assert shell.json("verify", "ledger", early, "--public-key", key)["intact"]
        told, said = shell("verify", "ledger", late, "--public-key", key, code=4)
        assert remark in told + said
        with serving(shell, tmp_path) as address, Client(address) as client:
            wait_until(lambda: "is of another ledger" in log.read_text())
            answers = [result.error.reason for result in client.batch_get_trust_scores(MARKET, ["a", "b"])]
        with Ledger.open(pair.url) as ledger:
            ledger.append(MARKET, known("c"))
            assert ledger.last()[0] == lost.sequence
        assert answers == ["", "SELLER_NOT_FOUND"]
    assert shell.json("rescore")["sellers"] == 2


def test_a_feed_reads_again_what_was_lost(pair: Pair, tmp_path: Path) -> None:
    with kafka() as servers, Ledger.open(pair.url) as ledger:
        produce(servers, "facts", [(0, fact(number)) for number in range(3)])
        shell = shell_of(tmp_path / "data", database_url=pair.url)
        url = f"kafka://{servers}/facts"
        command = [*COMMAND, "ledger", "feed", url, "-o", "json"]
        with subprocess.Popen(command, env=shell.environment, stdout=subprocess.PIPE, text=True) as feed:
            try:
                wait_until(lambda: ledger.last()[0] == 3)
                pair.cut_off_at(3)
                produce(servers, "facts", [(0, fact(number)) for number in range(3, 6)])
                wait_until(lambda: ledger.last()[0] == 6)
                pair.fail_over()
                assert ledger.last()[0] == 3
                wait_until(lambda: ledger.last()[0] == 6)
            finally:
                feed.terminate()
            assert json.loads(feed.communicate(timeout=30)[0])["positions"] == {"0": 6}
        assert shell.json("ledger", "feed", url, "--once")["appended"] == 0


def test_measures_that_were_lost_are_recorded_again(pair: Pair) -> None:
    clock = Clock()
    with Ledger.open(pair.url, clock=clock) as ledger:
        told = Told(ledger, clock)
        told.append(domain_identity("i1"), exposure_of(TODAY - 60))
        told.worker.look()
        told.append(domain_confirmed("v1"), domain_confirmed("v2"))
        pair.cut_off_at(ledger.last()[0])
        told.worker.look()
        before = told.record()
        assert ("week", "imposed") in before
        pair.fail_over()
        assert ("week", "imposed") not in told.record()
        told.worker.look()
        assert told.record() == before
