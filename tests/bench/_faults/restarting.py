"""A PostgreSQL that is stopped and started again under load, over gRPC."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from sellertrust.client import Client, seller_name
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.entry_pb2 import Entry
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from tests.bench._fault_writer import BATCH, MARKETPLACE
from tests.bench._faults import Sizes, Unable, breaches
from tests.servers import running_server

WRITERS = 6
PER_WRITER = 100_000
"""Numbers of batches that each writer has to itself; a revision is at most 1,000,000."""

DEADLINE_SECONDS = 15.0
EXPECTED = {(grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE")}
"""How a call may fail while the database is away."""


class PostgreSQL:
    """A PostgreSQL of its own, whose journal waits for the disk as in production."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench._faults.postgresql", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        self.url = self._answer()

    def tell(self, words: str) -> None:
        """`stop fast` ends every session, `stop immediate` is as a crash; `start`."""
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def own_postgresql(folder: Path) -> Iterator[PostgreSQL]:
    server = PostgreSQL(folder)
    try:
        yield server
    finally:
        server.close()


def restart(backend: str, folder: Path, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """Writers over gRPC repeat what was not acknowledged, while the database goes away and comes back.

    `unavailable` counts the calls that failed as they should, `untyped` those that failed in another way.
    """
    if backend == "sqlite":
        raise Unable("SQLite has no server to restart; kill covers it")
    with own_postgresql(folder / "postgresql") as server:
        upgrade(server.url)
        load = _Load()
        with running_server(folder, database_url=server.url) as running:
            threads = [threading.Thread(target=load.write, args=(running.address, n)) for n in range(WRITERS)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(sizes.restarts):
                    load.wait_for_more(WRITERS)
                    time.sleep(chance.uniform(0, 0.2))
                    server.tell(f"stop {chance.choice(('fast', 'immediate'))}")
                    time.sleep(chance.uniform(0, 0.5))
                    server.tell("start")
                load.wait_for_more(WRITERS)
            finally:
                load.stop.set()
                for thread in threads:
                    thread.join()
        with Ledger.open(server.url) as ledger:
            found = breaches(ledger, load.acknowledged)
    for failure in sorted(set(load.untyped))[:5]:
        print(f"  untyped: {failure}")
    assert load.unavailable, "no call met a database that was away"
    return {
        "tries": sizes.restarts,
        "acknowledged": len(load.acknowledged) * BATCH,
        "unavailable": load.unavailable,
        "untyped": len(load.untyped),
    } | found


class _Load:
    """What the writers did, together."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.acknowledged: set[int] = set()
        self.unavailable = 0
        self.untyped: list[str] = []
        self._lock = threading.Lock()

    def write(self, address: str, writer: int) -> None:
        """Appends batch after batch, each until it is acknowledged. The client itself repeats nothing."""
        number = writer * PER_WRITER + 1
        with Client(address, deadline_seconds=DEADLINE_SECONDS, service_config={}) as client:
            while not self.stop.is_set():
                try:
                    done = client.append_entries(MARKETPLACE, _messages(number))
                except SellertrustCallError as error:
                    with self._lock:
                        if (error.code, error.reason) in EXPECTED:
                            self.unavailable += 1
                        else:
                            self.untyped.append(f"{error.code} {error.reason} {error}".splitlines()[0])
                    continue
                assert len(done) == BATCH
                with self._lock:
                    self.acknowledged.add(number)
                number += 1

    def wait_for_more(self, batches: int, seconds: float = 60) -> None:
        """Waits until so many more batches are acknowledged."""
        wanted = len(self.acknowledged) + batches
        deadline = time.monotonic() + seconds
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, f"no append goes through: {self.untyped[-3:]}"
            time.sleep(0.01)


def _messages(number: int) -> list[Entry]:
    messages = []
    for i in range(BATCH):
        entry = Entry(entry_id=f"f-{number}-{i}", seller=seller_name(MARKETPLACE, f"s-{i}"))
        entry.exposure.day = "2025-01-01"
        entry.exposure.settled_orders = 1 + i
        entry.exposure.revision = number
        messages.append(entry)
    return messages
