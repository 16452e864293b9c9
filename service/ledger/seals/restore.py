"""Restores a backup, in one transaction, into a database without a ledger or with an empty one."""

import sqlite3
import struct
import tempfile
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import psycopg
from sqlalchemy import Connection, LargeBinary, Table, func, select

from scoring.base.canonical import parse_json
from scoring.base.errors import BackupRefused
from scoring.base.progress import Progress
from service.ledger.database.database import CONFLICT, Database, insert_rows, lift_limits
from service.ledger.database.rights import KEYS
from service.ledger.database.schema import knows_version, newest_version, upgrade_to, version_of
from service.ledger.seals.backup import MANIFEST, ROWS, BackupTable, Manifest, ledger_tables, member_of
from service.ledger.seals.verifying import verify

_CHUNK = 1 << 20
_MANIFEST_BYTES = 1 << 20
_LINE_BYTES = 16 << 20
"""A few bytes of a forged backup may unpack to any size."""
_MIN_BIGINT, _MAX_BIGINT = -(2**63), 2**63 - 1
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError),
    *(struct.error, OverflowError),
)
_NO_ROW = (
    *(*CONFLICT, ValueError, TypeError, OverflowError, RecursionError, psycopg.DataError, psycopg.ProgrammingError),
    *(sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError),
)


def restore_backup(database: Database, file: Path, progress: Progress) -> Manifest:
    """Restore a backup into an empty ledger, in one transaction; return its manifest.

    Raises BackupRefused if the file is damaged, is of a newer release, or fails its verification, or if the ledger has
    any content.
    """
    with _open_archive(file) as archive:
        manifest = _check_members(archive, file, progress)
        with database.write() as connection:
            _prepare(connection, manifest)
            tables = ledger_tables(connection)
            _require_tables(manifest, tables)
            for name, about in manifest.tables.items():
                _load(connection, name, about, archive, progress)
            if version_of(connection) != newest_version():
                upgrade_to(connection, "head")
            _verify(connection, manifest, file, progress)
    return manifest


def rehearse(file: Path, progress: Progress) -> Manifest:
    """Restore a backup into a temporary SQLite ledger; return its manifest. Raises BackupRefused."""
    with tempfile.TemporaryDirectory(prefix="sellertrust-restore-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'ledger.db'}")
        try:
            return restore_backup(database, file, progress)
        finally:
            database.close()


@contextmanager
def _open_archive(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise _damage_error(file, "its directory", error) from None
    with archive:
        yield archive


def _check_members(archive: zipfile.ZipFile, file: Path, progress: Progress) -> Manifest:
    try:
        with _member(archive, MANIFEST) as member:
            text = member.read(_MANIFEST_BYTES + 1)
        if len(text) > _MANIFEST_BYTES:
            raise BackupRefused(f"{file} is no backup: its manifest is longer than {_MANIFEST_BYTES:,} bytes")
    except _DAMAGE as error:
        raise _damage_error(file, MANIFEST, error) from None
    try:
        manifest = Manifest.model_validate(parse_json(text))
    except (ValueError, RecursionError):
        raise BackupRefused(f"{file} is no backup that this release can read: its manifest has another form") from None
    if not knows_version(manifest.schema_version):
        raise BackupRefused(
            f"{file} is of a newer release, with the schema {manifest.schema_version}; restore it by that release"
        )
    for name, table in manifest.tables.items():
        digest, done, size = sha256(), 0, 0
        try:
            size = archive.getinfo(member_of(name)).file_size
            with _member(archive, member_of(name)) as member:
                while data := member.read(_CHUNK):
                    digest.update(data)
                    done += len(data)
                    progress(f"check {name}", min(done, size - 1), size)
        except _DAMAGE as error:
            raise _damage_error(file, member_of(name), error) from None
        if digest.hexdigest() != table.sha256:
            raise _damage_error(file, member_of(name), ValueError("its SHA-256 is not the one of the manifest"))
        progress(f"check {name}", size, size)
    return manifest


def _prepare(connection: Connection, manifest: Manifest) -> None:
    version = version_of(connection)
    if version is None:
        upgrade_to(connection, manifest.schema_version)
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
        lift_limits(connection)


def _require_tables(manifest: Manifest, tables: Mapping[str, Table]) -> None:
    if not set(manifest.left_out) <= {KEYS}:
        raise _handmade_error("the backup leaves out more than the keys")
    expected, held = set(tables) - set(manifest.left_out), set(manifest.tables)
    for name in sorted(expected ^ held):
        raise _handmade_error(
            f"the backup lacks the table {name}" if name in expected else f"{name} is no table of its schema"
        )
    for name, about in manifest.tables.items():
        columns = tables[name].c
        binary = sorted(column.name for column in columns if isinstance(column.type, LargeBinary))
        if sorted(about.columns) != sorted(columns.keys()) or sorted(about.bytes_columns) != binary:
            raise _handmade_error(f"the backup's {name} has other columns than the table of its schema")


def _load(connection: Connection, name: str, about: BackupTable, archive: zipfile.ZipFile, progress: Progress) -> None:
    done = 0
    progress(f"restore {name}", 0, about.rows)
    with _member(archive, member_of(name)) as packed, BufferedReader(packed, _CHUNK) as member:  # type: ignore[type-var]
        while lines := _lines(member, name):
            try:
                insert_rows(connection, name, tuple(about.columns), _rows(lines, about))
            except _NO_ROW:
                raise _handmade_error(
                    f"the backup's {member_of(name)} holds a row that the schema refuses, after line {done}"
                ) from None
            done += len(lines)
            progress(f"restore {name}", min(done, about.rows), about.rows)
    if done != about.rows:
        raise BackupRefused(f"the backup's {member_of(name)} has {done:,} rows, and its manifest says {about.rows:,}")


def _lines(member: IO[bytes], name: str) -> list[bytes]:
    lines: list[bytes] = []
    size = 0
    while len(lines) < ROWS and size < _LINE_BYTES and (line := member.readline(_LINE_BYTES + 1)):
        size += len(line)
        if len(line) > _LINE_BYTES:
            raise _handmade_error(f"the backup's {member_of(name)} has a line of more than {_LINE_BYTES:,} bytes")
        lines.append(line)
    return lines


def _rows(lines: list[bytes], about: BackupTable) -> list[tuple[Any, ...]]:
    binary = [index for index, name in enumerate(about.columns) if name in about.bytes_columns]
    rows = []
    for line in lines:
        values = parse_json(line)
        if not isinstance(values, list) or len(values) != len(about.columns):
            raise ValueError("no row of this table")
        if any(not (value is None or type(value) is str or _fits_bigint(value)) for value in values):
            raise ValueError("no value of a column")
        for index in binary:
            values[index] = None if values[index] is None else b64decode(values[index], validate=True)
        rows.append(tuple(values))
    return rows


def _fits_bigint(value: Any) -> bool:
    return type(value) is int and _MIN_BIGINT <= value <= _MAX_BIGINT


def _verify(connection: Connection, manifest: Manifest, file: Path, progress: Progress) -> None:
    checkpoint = [(manifest.sequence, bytes.fromhex(manifest.chain))] if manifest.sequence else []
    found = verify(
        lambda query: connection.execute(query).all(), checkpoint, lambda done, total: progress("verify", done, total)
    )
    if found.mismatch:
        raise BackupRefused(
            f"{file} is whole, and the ledger in it is not what was sealed: from entry {found.mismatch.sequence} on,"
            f" {found.mismatch.problem}; restore an earlier backup"
        )
    if fault := found.key_wrong or found.position_ahead:
        raise BackupRefused(
            f"{file} is whole, and the ledger in it is not as it was written: entry {fault.sequence}: {fault.problem};"
            " restore an earlier backup"
        )


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    about = archive.getinfo(name)
    if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed by another method")
    return archive.open(about)


def _handmade_error(problem: str) -> BackupRefused:
    return BackupRefused(f"{problem}: it was made by hand")


def _damage_error(file: Path, member: str, error: Exception) -> BackupRefused:
    reason = str(error).strip('"').rstrip(".") or type(error).__name__
    return BackupRefused(f"{file} is damaged or cut short: {member} cannot be read ({reason}); take another copy")
