"""A disk that is full: a small tmpfs that holds a SQLite ledger, or the tablespace of a PostgreSQL ledger."""

import os
import pwd
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from scoring.errors import LedgerUnavailable
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from tests.bench._fault_writer import BATCH, MARKETPLACE, batch
from tests.bench._faults import Sizes, Unable, breaches
from tests.databases import postgresql

MEBIBYTES = {"sqlite": 4, "postgresql": 16}
MORE_MEBIBYTES = 2
MAX_BATCHES = 20_000


class SmallDisk:
    """A tmpfs that can be enlarged. Unable without the right to mount."""

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
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise Unable(f"cannot mount a tmpfs: {error}") from None
        if done.returncode:
            raise Unable(f"cannot mount a tmpfs, which needs root: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    folder.mkdir()
    disk = SmallDisk(folder, mebibytes)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def disk_full(backend: str, folder: Path, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """Appends until the disk is full, again and again after it was enlarged.

    `untyped`: refusals that are not LEDGER_UNAVAILABLE naming the disk. `unreadable`: reads that were wrong meanwhile, or
    refused by SQLite. PostgreSQL may refuse them as LEDGER_UNAVAILABLE until it has room (`refused_reads`): pages that it
    has not written yet go first.
    """
    with small_disk(folder / "small", MEBIBYTES[backend]) as disk, _ledger_on(backend, disk.folder) as url:
        acknowledged: set[int] = set()
        untyped = unreadable = refused_reads = 0
        number = 1
        with Ledger.open(url) as ledger:
            for _ in range(sizes.disk_rounds):
                number, is_typed = _fill(ledger, acknowledged, number)
                untyped += not is_typed
                try:
                    unreadable += _wrong_reads(ledger, acknowledged)
                except LedgerUnavailable:
                    unreadable += backend == "sqlite"
                    refused_reads += 1
                disk.enlarge(MORE_MEBIBYTES)
                number, is_typed = _fill(ledger, acknowledged, number, most=chance.randint(1, 5))
                untyped += not is_typed
            # To read everything PostgreSQL first writes whatever pages it holds back, at any place of the tables.
            disk.enlarge(MEBIBYTES[backend])
            found = breaches(ledger, acknowledged)
    return {
        "tries": sizes.disk_rounds,
        "acknowledged": len(acknowledged) * BATCH,
        "untyped": untyped,
        "unreadable": unreadable,
        "refused_reads": refused_reads,
    } | found


def _fill(ledger: Ledger, acknowledged: set[int], number: int, most: int = MAX_BATCHES) -> tuple[int, bool]:
    """Appends until refused, at most so many batches; (next number, whether it ended as it should)."""
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


def _wrong_reads(ledger: Ledger, acknowledged: set[int]) -> int:
    """How many reads do not show what was acknowledged. LedgerUnavailable if one is refused."""
    return int(ledger.last()[0] != len(acknowledged) * BATCH) + int(
        len(ledger.fact_rows(MARKETPLACE, ["s-1"], ledger.cut().sequence)) != len(acknowledged)
    )


@contextmanager
def _ledger_on(backend: str, folder: Path) -> Iterator[str]:
    """URL of a new ledger whose data lie in `folder`. PostgreSQL's journal lies elsewhere."""
    if backend == "sqlite":
        url = f"sqlite:///{folder / 'ledger.db'}"
        upgrade(url)
        yield url
        return
    place = folder / "tablespace"
    place.mkdir()
    if os.geteuid() == 0:
        owner = pwd.getpwnam("pgserver")  # as whom the package runs PostgreSQL for root
        for path in (folder, place):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        for parent in (folder, *folder.parents[:2]):
            if not parent.stat().st_mode & 0o001:  # a folder of ours, which only its owner may pass through
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
