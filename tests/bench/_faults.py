"""Faults of a ledger's database while batches are appended: kill -9, restarts of PostgreSQL, and full disks.

`python -m tests.bench._faults URL FIRST LAST` appends numbered batches and prints the number of each acknowledged one.
"""

import os
import pwd
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from scoring.base.errors import LedgerUnavailable
from scoring.entries.entry import Entry
from scoring.entries.kinds.trade import ExposureStated
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from tests.helpers.databases import database, postgresql
from tests.helpers.hanging_postgresql import hanging_postgresql
from tests.helpers.ledgers import verify

BATCH = 50
MARKETPLACE = "faults"
AN_APPEND_SECONDS = 0.02
WRITERS, PER_WRITER = 6, 100_000
MEBIBYTES, MORE_MEBIBYTES = {"sqlite": 4, "postgresql": 16}, 2
MAX_BATCHES = 20_000


class Unable(Exception):
    """Raised if the machine cannot cause the fault."""


def batch(number: int) -> list[Entry]:
    return [Entry(f"f-{number}-{i}", f"s-{i}", ExposureStated(10_000, 1 + i, revision=number)) for i in range(BATCH)]


def breaches(ledger: Ledger, acknowledged: set[int]) -> dict[str, int]:
    exported = (row for rows in ledger.entries.export(MARKETPLACE, ledger.cut()) for row in rows)
    counts = Counter(int(row[2].split("-")[1]) for row in exported)
    return {
        "lost": sum(BATCH - counts[number] for number in acknowledged),
        "duplicated": sum(max(count - BATCH, 0) for count in counts.values()),
        "partial": sum(0 < count < BATCH for count in counts.values()),
        "undetected": int(verify(ledger).mismatch is not None),
    }


def kill(backend: str, folder: Path, kills: int = 200, entries: int = 100_000) -> dict[str, int]:
    last = entries // BATCH
    acknowledged = killed = 0
    with database(backend, folder) as url:
        for point in [*sorted(random.choices(range(last * 9 // 10), k=kills)), None]:
            acknowledged, is_killed = _write(url, acknowledged, last, point)
            killed += is_killed
        with Ledger.open(url) as ledger:
            return {"tries": killed, "acknowledged": acknowledged * BATCH} | breaches(ledger, {*range(1, last + 1)})


def _write(url: str, acknowledged: int, last: int, point: int | None) -> tuple[int, bool]:
    command = [sys.executable, "-m", "tests.bench._faults", url, str(acknowledged + 1), str(last)]
    is_killed = False
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if line.endswith("\n"):
                acknowledged = max(acknowledged, int(line))
            if point is not None and acknowledged >= point and not is_killed:
                time.sleep(random.uniform(0, AN_APPEND_SECONDS))
                is_killed = writer.poll() is None
                writer.kill()
    assert point is not None or writer.returncode == 0, "the writer ended by itself"
    return acknowledged, is_killed and writer.returncode == -signal.SIGKILL


def restart(backend: str, folder: Path, restarts: int = 50) -> dict[str, int]:
    if backend == "sqlite":
        raise Unable("SQLite has no server to restart; kill covers it")
    acknowledged, failed, is_over = set[int](), Counter[str](), threading.Event()

    def write(ledger: Ledger, number: int) -> None:
        while not is_over.is_set():
            try:
                ledger.append(MARKETPLACE, batch(number))
            except LedgerUnavailable:
                failed["unavailable"] += 1
            except Exception:  # noqa: BLE001 (any other is the breach that is counted)
                failed["untyped"] += 1
            else:
                acknowledged.add(number)
                number += 1

    def wait_for_more() -> None:
        wanted, deadline = len(acknowledged) + WRITERS, time.monotonic() + 60
        while len(acknowledged) < wanted:
            assert time.monotonic() < deadline, "no append goes through"
            time.sleep(0.01)

    with hanging_postgresql(relaxed=False) as server:
        url = server.urls["tcp"]
        upgrade(url)
        with Ledger.open(url) as ledger:
            threads = [threading.Thread(target=write, args=(ledger, n * PER_WRITER + 1)) for n in range(WRITERS)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(restarts):
                    wait_for_more()
                    time.sleep(random.uniform(0, 0.2))
                    with server.stopped():
                        time.sleep(random.uniform(0, 0.5))
                wait_for_more()
            finally:
                is_over.set()
                for thread in threads:
                    thread.join()
            found = breaches(ledger, acknowledged)
    counts = {"tries": restarts, "acknowledged": len(acknowledged) * BATCH}
    return counts | {name: failed[name] for name in ("unavailable", "untyped")} | found


class SmallDisk:
    """A tmpfs that can be enlarged. Raises Unable without the right to mount."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        self.folder = folder
        self._mebibytes = mebibytes
        self._mount(f"size={mebibytes}m")

    def enlarge(self, mebibytes: int) -> None:
        self._mebibytes += mebibytes
        self._mount(f"remount,size={self._mebibytes}m")

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        try:
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unable(f"cannot mount a tmpfs, which needs root: {error}") from None


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    folder.mkdir()
    disk = SmallDisk(folder, mebibytes)
    try:
        yield disk
    finally:
        # PostgreSQL's checkpointer can hold a dropped file for a while, and a busy tmpfs is unmounted only lazily.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def disk_full(backend: str, folder: Path, rounds: int = 10) -> dict[str, int]:
    """Append until the disk is full, repeatedly, after each enlargement.

    `untyped`: errors other than LEDGER_UNAVAILABLE that names the disk. `unreadable`: reads that were wrong, or
    rejected by SQLite.
    """
    acknowledged, untyped, unreadable, refused_reads, number = set[int](), 0, 0, 0, 1
    with (
        small_disk(folder / "small", MEBIBYTES[backend]) as disk,
        _ledger_on(backend, disk.folder) as url,
        Ledger.open(url) as ledger,
    ):
        for _ in range(rounds):
            number, is_typed = _fill(ledger, acknowledged, number)
            untyped += not is_typed
            try:
                rows = len(ledger.facts.table(MARKETPLACE, ["s-1"], ledger.cut())[0])
                unreadable += (ledger.last()[0], rows) != (len(acknowledged) * BATCH, len(acknowledged))
            except LedgerUnavailable:
                unreadable += backend == "sqlite"
                refused_reads += 1
            disk.enlarge(MORE_MEBIBYTES)
            number, is_typed = _fill(ledger, acknowledged, number, most=random.randint(1, 5))
            untyped += not is_typed
        disk.enlarge(MEBIBYTES[backend])
        found = breaches(ledger, acknowledged)
    counts = {"tries": rounds, "acknowledged": len(acknowledged) * BATCH, "refused_reads": refused_reads}
    return counts | {"untyped": untyped, "unreadable": unreadable} | found


def _fill(ledger: Ledger, acknowledged: set[int], number: int, most: int = MAX_BATCHES) -> tuple[int, bool]:
    for _ in range(most):
        try:
            ledger.append(MARKETPLACE, batch(number))
        except LedgerUnavailable as error:
            return number, most == MAX_BATCHES and "disk" in error.message
        except Exception:  # noqa: BLE001 (any other is the breach that is counted)
            return number, False
        acknowledged.add(number)
        number += 1
    return number, most != MAX_BATCHES


@contextmanager
def _ledger_on(backend: str, folder: Path) -> Iterator[str]:
    if backend == "sqlite":
        url = f"sqlite:///{folder / 'ledger.db'}"
        upgrade(url)
        yield url
        return
    place = folder / "tablespace"
    place.mkdir()
    if os.geteuid() == 0:
        owner = pwd.getpwnam("pgserver")
        for path in (folder, place):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        for parent in (folder, *folder.parents[:2]):
            if not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    with psycopg.connect(postgresql(), autocommit=True) as server:
        server.execute(f"CREATE TABLESPACE small LOCATION '{place}'".encode())
        server.execute(b"CREATE DATABASE small TEMPLATE template0 TABLESPACE small")
        url = make_url(postgresql()).set(database="small").render_as_string(hide_password=False)
        try:
            upgrade(url)
            yield url
        finally:
            server.execute(b"DROP DATABASE small WITH (FORCE)")
            server.execute(b"DROP TABLESPACE small")


if __name__ == "__main__":
    with Ledger.open(sys.argv[1]) as opened:
        print(0, flush=True)
        for k in range(int(sys.argv[2]), int(sys.argv[3]) + 1):
            opened.append(MARKETPLACE, batch(k))
            print(k, flush=True)
