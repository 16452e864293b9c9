"""Restoring a backup: into a database without a ledger or with an empty one, whole or not at all.

Everything happens in one transaction: tables of the backup's schema, its rows, the upgrade to the present schema, and the
verification of every entry against its seal and of the last seal against the backup's checkpoint. So a restore that is
interrupted, or finds a fault at its very end, leaves the database as it was.
"""

import json
import tempfile
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Table, func, select

from scoring.errors import BackupRefused
from service.ledger.backup import MANIFEST, ROWS, BackupTable, Manifest, Progress, ledger_tables, member_of
from service.ledger.database import CONFLICT, Database, insert_rows
from service.ledger.schema import bring_to, head, knows, version_of
from service.ledger.verifying import verify

_CHUNK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError)


def restore_backup(database: Database, file: Path, progress: Progress) -> Manifest:
    """Restores a backup; what its manifest says.

    BackupRefused, which names what is wrong, if the file is damaged, is of a newer release, or does not verify, or if
    the ledger holds something already.
    """
    with _opened(file) as archive:
        manifest = _checked(archive, file, progress)
        with database.write() as connection:
            _prepare(connection, manifest)
            tables = ledger_tables(connection)
            for name, about in manifest.tables.items():
                _load(connection, tables.get(name), name, about, archive, progress)
            if version_of(connection) != head():
                bring_to(connection, "head")
            _verify(connection, manifest, file, progress)
    return manifest


def rehearse(file: Path, progress: Progress) -> Manifest:
    """Restores a backup into a SQLite ledger that is thrown away: the proof that it can be. As `restore_backup`."""
    with tempfile.TemporaryDirectory(prefix="sellertrust-restore-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'ledger.db'}")
        try:
            return restore_backup(database, file, progress)
        finally:
            database.close()


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise _damaged(file, "its directory", error) from None


def _checked(archive: zipfile.ZipFile, file: Path, progress: Progress) -> Manifest:
    """The manifest, once every member has the digest that it states."""
    try:
        manifest = Manifest.model_validate_json(archive.read(MANIFEST))
    except ValidationError:
        raise BackupRefused(f"{file} is no backup that this release can read: its manifest has another form") from None
    except _DAMAGE as error:
        raise _damaged(file, MANIFEST, error) from None
    if not knows(manifest.schema_version):
        raise BackupRefused(
            f"{file} is of a newer release, with the schema {manifest.schema_version}; restore it by that release"
        )
    for name, table in manifest.tables.items():
        digest, done, size = sha256(), 0, 0
        try:
            size = archive.getinfo(member_of(name)).file_size
            with archive.open(member_of(name)) as member:
                while data := member.read(_CHUNK):
                    digest.update(data)
                    done += len(data)
                    progress(f"check {name}", min(done, size - 1), size)
        except _DAMAGE as error:
            raise _damaged(file, member_of(name), error) from None
        if digest.hexdigest() != table.sha256:
            raise _damaged(file, member_of(name), ValueError("its SHA-256 is not the one of the manifest"))
        progress(f"check {name}", size, size)
    return manifest


def _prepare(connection: Connection, manifest: Manifest) -> None:
    """Sees that there is a ledger of the backup's schema with nothing in it."""
    version = version_of(connection)
    if version is None:
        bring_to(connection, manifest.schema_version)
    for name, table in ledger_tables(connection).items():
        if connection.execute(select(func.count()).select_from(table.select().limit(1).subquery())).scalar():
            raise BackupRefused(
                f"the ledger is not empty ({name} has rows), and a restore never mixes two; name a new database or file"
                " by SELLERTRUST_DATABASE_URL"
            )
    if version not in {None, manifest.schema_version}:
        raise BackupRefused(
            f"the backup has the schema {manifest.schema_version} and the empty ledger {version}; name a database without"
            " a ledger by SELLERTRUST_DATABASE_URL: there the backup is restored and upgraded"
        )
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # a COPY of all entries is one statement


def _load(
    connection: Connection,
    table: Table | None,
    name: str,
    about: BackupTable,
    archive: zipfile.ZipFile,
    progress: Progress,
) -> None:
    """Inserts the rows of one table."""
    if table is None or not set(about.columns) <= set(table.c.keys()):
        raise BackupRefused(f"the backup's {name} is no table of its schema, or has other columns: it was made by hand")
    done = 0
    progress(f"restore {name}", 0, about.rows)
    with archive.open(member_of(name)) as member:
        while lines := list(islice(member, ROWS)):
            try:
                insert_rows(connection, table.name, tuple(about.columns), _rows(lines, about))
            except (*CONFLICT, ValueError, TypeError):
                raise BackupRefused(
                    f"the backup's {member_of(name)} holds a row that the schema refuses, after line {done}: it was made"
                    " by hand"
                ) from None
            done += len(lines)
            progress(f"restore {name}", min(done, about.rows), about.rows)
    if done != about.rows:
        raise BackupRefused(f"the backup's {member_of(name)} has {done:,} rows, and its manifest says {about.rows:,}")


def _rows(lines: list[bytes], about: BackupTable) -> list[tuple[Any, ...]]:
    """Rows of the database from lines of the file. ValueError or TypeError if one is none."""
    binary = [index for index, name in enumerate(about.columns) if name in about.bytes_columns]
    rows = []
    for line in lines:
        values = json.loads(line)
        if not isinstance(values, list) or len(values) != len(about.columns):
            raise ValueError("no row of this table")
        for index in binary:
            values[index] = None if values[index] is None else b64decode(values[index], validate=True)
        rows.append(tuple(values))
    return rows


def _verify(connection: Connection, manifest: Manifest, file: Path, progress: Progress) -> None:
    """Every entry against its seal, and the last seal against the manifest's checkpoint."""
    checkpoint = [(manifest.sequence, bytes.fromhex(manifest.chain))] if manifest.sequence else []
    found = verify(
        lambda query: connection.execute(query).all(), checkpoint, lambda done, total: progress("verify", done, total)
    )
    if found.mismatch:
        raise BackupRefused(
            f"{file} is whole, and the ledger in it is not what was sealed: from entry {found.mismatch.sequence} on,"
            f" {found.mismatch.problem}; restore an earlier backup"
        )


def _damaged(file: Path, member: str, error: Exception) -> BackupRefused:
    reason = str(error).strip('"').rstrip(".") or type(error).__name__
    return BackupRefused(f"{file} is damaged or cut short: {member} cannot be read ({reason}); take another copy")
