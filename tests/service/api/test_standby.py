"""A late standby is promoted: sequences repeat, and memory of lost entries is dropped."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sellertrust.client import SellertrustCallError
from service.ledger.database.schema import upgrade
from tests.helpers.builders import confirmed as domain_confirmed
from tests.helpers.builders import identity as domain_identity
from tests.helpers.hanging_postgresql import HangingPostgresql, hanging_postgresql
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, exposure, identity, running_server
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact


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


@pytest.mark.long
def test_what_was_remembered_of_lost_entries_is_dropped(tmp_path: Path) -> None:
    with hanging_postgresql() as primary:
        tcp = primary.urls["tcp"]
        upgrade(tcp)
        with following(primary) as standby:
            port = tcp.rpartition(":")[2].partition("/")[0]
            both = f"postgresql://postgres@/postgres?host=127.0.0.1:{port}&host=127.0.0.1:{standby.port}"
            both += "&target_session_attrs=read-write"
            with (
                running_server(tmp_path, artifact=artifact(), database_url=both) as running,
                running.client() as client,
            ):
                [first] = client.append_entries(MARKET, [identity("i", "s1")])
                [kept] = client.append_entries(MARKET, [exposure("x", "s1", 2_000)])
                wait_until(lambda: standby.last() == kept.sequence)
                standby.cut_off()
                seen: list[int] = []
                ends: list[str] = []

                def watch() -> None:
                    try:
                        watched = client.watch_entries(MARKET, after_sequence=first.sequence)
                        seen.extend(response.sequence for response in watched)
                    except SellertrustCallError as error:
                        ends.append(error.reason)

                watcher = threading.Thread(target=watch, daemon=True)
                watcher.start()
                lost = running.ledger.append(MARKET, [domain_confirmed(f"c{n}", "s1") for n in range(3)])[-1].sequence
                guilty = client.get_trust_score(MARKET, "s1", at_least_sequence=lost)
                wait_until(lambda: lost in seen)
                # A program started beside gRPC's threads may crash.
                primary.process.send_signal(signal.SIGQUIT)
                primary.process.wait(20)
                with standby.connect() as connection:
                    connection.execute("SELECT pg_promote()")
                book = running.book
                wait_until(
                    lambda: book.follower.restarts == 1 and book.follower.age() < 2 and not book.follower.is_away
                )
                found = client.get_trust_score(MARKET, "s1")
                assert found.stamp.ledger_sequence == kept.sequence
                assert (found.points or 0) > (guilty.points or 0)
                assert (
                    refusal(client.get_trust_score, MARKET, "s1", at_least_sequence=lost, deadline_seconds=3).reason
                    == "SEQUENCE_NOT_REACHED"
                )
                watcher.join(20)
                assert ends == ["SEQUENCE_NOT_REACHED"]
                again = running.ledger.append(MARKET, [domain_identity(f"j{n}", f"t{n}") for n in range(3)])
                assert again[-1].sequence == lost
                assert client.get_trust_score(MARKET, "s1", at_least_sequence=lost).points == found.points
