"""A recovery drill on a real PostgreSQL: base backup, archived log, the rest of the installation, and its proof."""

import json
import os
import shutil
import socket
from pathlib import Path

import psycopg
import pytest

from sellertrust.client import Client
from tests.helpers.hanging_postgresql import HangingPostgresql, hanging_postgresql
from tests.helpers.policies import TIERS
from tests.helpers.servers import MARKET, exposure, identity
from tests.helpers.shells import Shell, serving, shell_of
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.long


def archive_log(primary: HangingPostgresql) -> Path:
    archive = primary.folder / "archive"
    archive.mkdir()
    owner = primary.folder.stat()
    os.chown(archive, owner.st_uid, owner.st_gid)
    with psycopg.connect(primary.urls["tcp"], autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET archive_mode = on")
        connection.execute(f"ALTER SYSTEM SET archive_command = 'cp %p {archive}/%f'")
    primary.control("-m", "fast", "stop")
    primary.control(*primary.start_options)
    return archive


def recover(primary: HangingPostgresql, archive: Path) -> str:
    restored = primary.folder / "restored"
    with (restored / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = 'cp {archive}/%f %p'\narchive_mode = off\n")
    (restored / "recovery.signal").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-h 127.0.0.1 -p {port} -k {restored} -c sellertrust.durability=relaxed -c fsync=off"
    primary.execute("pg_ctl", "-D", str(restored), "-w", "-o", options, "-l", str(restored / "log"), "start")
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def proof(shell: Shell, *arguments: object, code: int = 0) -> dict[str, bool]:
    rows = shell("verify", "recovery", *arguments, "--output", "json", code=code)[0]
    return {row["check"]: row["ok"] for row in json.loads(rows)}


def test_a_recovery_is_proven_by_one_command(tmp_path: Path) -> None:
    place, saved, checkpoints = tmp_path / "place", tmp_path / "saved", tmp_path / "checkpoints.jsonl"
    place.mkdir()
    with hanging_postgresql() as primary:
        archive = archive_log(primary)
        shell = shell_of(place, database_url=primary.urls["tcp"], policy=TIERS)
        shell("ledger", "upgrade")
        with serving(shell, place, arguments=["--starter"]) as address, Client(address, deadline_seconds=30) as client:
            client.append_entries(MARKET, [identity("i", "s1")])
            primary.execute(
                "pg_basebackup", "-d", primary.urls["tcp"], "-D", str(primary.folder / "restored"), "-c", "fast"
            )
            client.append_entries(MARKET, [exposure(f"x{number}", "s1", 9, number + 2) for number in range(50)])
            before = client.get_trust_score(MARKET, "s1").message
        public_key = shell.json("ledger", "checkpoint", checkpoints)["public_key"]
        with psycopg.connect(primary.urls["tcp"], autocommit=True) as connection:
            switched = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            last_archived = "SELECT last_archived_wal FROM pg_stat_archiver"  # a copy cut off by the stop is no backup
            wait_until(lambda: connection.execute(last_archived).fetchone() == switched)
        shutil.copytree(place, saved)
        primary.control("-m", "immediate", "stop")
        restored = shell_of(saved, database_url=recover(primary, archive), policy=TIERS)
        try:
            found = proof(restored, checkpoints, "--public-key", public_key)
            assert all(found.values()), found
            assert set(found) == {"ledger", "policy", "champion", "grants", "pseudonym-key", "audit"}
            with serving(restored, saved) as address, Client(address, deadline_seconds=30) as client:
                after = client.get_trust_score(MARKET, "s1").message
                assert (after.points, after.stamp.ledger_sequence) == (before.points, before.stamp.ledger_sequence)
            (saved / "pseudonym-key").unlink()
            shutil.rmtree(saved / "registry")
            found = proof(restored, code=4)
            assert {name for name, ok in found.items() if not ok} == {"pseudonym-key", "champion"}
        finally:
            primary.execute("pg_ctl", "-D", str(primary.folder / "restored"), "-m", "immediate", "stop")
