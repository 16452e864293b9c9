"""Backups: the whole ledger of one moment in one file, the same from SQLite and PostgreSQL.

The file is a zip with one member per table, JSON lines of rows in key order, and a manifest. The manifest holds the
schema's version, each table's columns, count and SHA-256, and the checkpoint. It comes last, so a truncated file has
none.
"""

import base64
import json
import os
import secrets
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, TypeAdapter
from sqlalchemy import Column, Connection, LargeBinary, MetaData, Table, func, inspect, select

from scoring.base.errors import BackupRefused, LedgerVersionUnknown
from scoring.base.progress import Progress
from scoring.base.time import format_time
from service.files import sync_folder
from service.ledger.database.database import CONFLICT, Database, insert_rows, lift_limits
from service.ledger.database.drivers import driver_errors
from service.ledger.database.rights import KEYS
from service.ledger.database.schema import is_known_version, newer_schema_error, newest_version, upgrade_to, version_of
from service.ledger.database.tables import SEAL, TableBase
from service.ledger.seals.chain import GENESIS, LAST_SEAL
from service.ledger.seals.verifying import verify

MANIFEST = "manifest.json"
ROWS = 2_000


class BackupTable(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rows: int = Field(ge=0)
    columns: list[str]
    bytes_columns: list[str]
    sha256: str


class BackupManifest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal["sellertrust-backup-1"] = "sellertrust-backup-1"
    made: str
    schema_version: str
    sequence: int = Field(ge=0)
    chain: str = Field(pattern="[0-9a-f]{64}")
    left_out: list[str]
    tables: dict[str, BackupTable]


def write_backup(
    database: Database, file: Path, progress: Progress, *, now: int, without_keys: bool = False
) -> BackupManifest:
    """Write the whole ledger to a new private file; `now`: in microseconds.

    `without_keys` leaves out the keys of sealed texts. Raises BackupRefused if the file exists; LedgerVersionUnknown
    without a ledger, or for a newer schema.
    """
    if file.exists() or file.is_symlink():
        raise _exists_error(file)
    staging = file.with_name(f"{file.name}.{secrets.token_hex(8)}.partial")
    if database.is_missing:
        raise _no_ledger_error()
    with database.snapshot() as connection:
        manifest = _begin_manifest(connection, now, without_keys=without_keys)
        try:
            _write_archive(connection, manifest, staging, progress)
            _claim_name(file)
        except BaseException:
            staging.unlink(missing_ok=True)
            raise
    staging.replace(file)
    sync_folder(file.parent)
    return manifest


def _claim_name(file: Path) -> None:
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        raise _exists_error(file) from None


def ledger_tables(connection: Connection) -> dict[str, Table]:
    """Return the ledger's tables as this database has them."""
    inspector = inspect(connection)
    tables = {}
    for name in (table.name for table in TableBase.metadata.sorted_tables):
        if inspector.has_table(name):
            key = set(inspector.get_pk_constraint(name)["constrained_columns"])
            columns = [Column(c["name"], c["type"], primary_key=c["name"] in key) for c in inspector.get_columns(name)]
            tables[name] = Table(name, MetaData(), *columns)
    return tables


def name_member(table: str) -> str:
    return f"{table}.jsonl"


def _begin_manifest(connection: Connection, now: int, *, without_keys: bool) -> BackupManifest:
    """Return the manifest without the tables' digests. Raises LedgerVersionUnknown."""
    version = version_of(connection)
    if version is None:
        raise _no_ledger_error()
    if not is_known_version(version):
        raise newer_schema_error()
    tables = ledger_tables(connection)
    left_out = [name for name in tables if without_keys and name == KEYS]
    last = connection.execute(LAST_SEAL).first() if SEAL.name in tables else None
    return BackupManifest(
        made=format_time(now),
        schema_version=version,
        sequence=last[0] if last else 0,
        chain=(bytes(last[1]) if last else GENESIS).hex(),
        left_out=left_out,
        tables={
            name: BackupTable(
                rows=connection.execute(select(func.count()).select_from(table)).scalar_one(),
                columns=table.c.keys(),
                bytes_columns=[column.name for column in table.c if isinstance(column.type, LargeBinary)],
                sha256="",
            )
            for name, table in tables.items()
            if name not in left_out
        },
    )


def _write_archive(connection: Connection, manifest: BackupManifest, staging: Path, progress: Progress) -> None:
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, table in manifest.tables.items():
                with archive.open(name_member(name), "w", force_zip64=True) as member:
                    table.sha256 = _write_rows(connection, name, table, member, progress)
            with archive.open(MANIFEST, "w") as member:
                member.write(manifest.model_dump_json(indent=1).encode())
        raw.flush()
        os.fsync(raw.fileno())


def _write_rows(connection: Connection, name: str, about: BackupTable, member: IO[bytes], progress: Progress) -> str:
    digest, done = sha256(), 0
    progress(f"back up {name}", 0, about.rows)
    for lines in _encode_rows(connection, ledger_tables(connection)[name], about):
        data = "".join(lines).encode()
        digest.update(data)
        member.write(data)
        done += len(lines)
        progress(f"back up {name}", done, about.rows)
    return digest.hexdigest()


def _encode_rows(connection: Connection, table: Table, about: BackupTable) -> Iterator[list[str]]:
    binary = [index for index, name in enumerate(about.columns) if name in about.bytes_columns]
    query = select(table).order_by(*table.primary_key.columns)
    for rows in connection.execute(query, execution_options={"yield_per": ROWS}).partitions():
        lines = []
        for row in rows:
            values: list[Any] = list(row)
            for index in binary:
                values[index] = None if values[index] is None else base64.b64encode(values[index]).decode()
            lines.append(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")
        yield lines


def _exists_error(file: Path) -> BackupRefused:
    return BackupRefused(f"{file} exists already, and a backup is never overwritten; name another file")


def _no_ledger_error() -> LedgerVersionUnknown:
    return LedgerVersionUnknown("there is no ledger in this database, hence nothing to back up")


_CHUNK = 1 << 20
_MANIFEST_BYTES = 1 << 20
_LINE_BYTES = 16 << 20
"""A few bytes of a forged backup may unpack to any size."""
_Value = Annotated[int, Strict(), Field(ge=-(2**63), lt=2**63)] | Annotated[str, Strict()] | None
_ROW = TypeAdapter(list[_Value])
_DAMAGE_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError),
    *(struct.error, OverflowError),
)
_ROW_ERRORS: tuple[type[Exception], ...] = (
    *(*CONFLICT, ValueError, TypeError, OverflowError, sqlite3.InterfaceError),
    *driver_errors("DataError", "ProgrammingError"),
)


def restore_backup(database: Database, file: Path, progress: Progress) -> BackupManifest:
    """Restore a backup into an empty ledger or a database without one, in one transaction.

    Raises BackupRefused if the file is damaged, is of a newer release, or fails its verification, or if the ledger has
    any content or another schema.
    """
    with _open_archive(file) as archive:
        manifest = _read_manifest(archive, file)
        _check_digests(archive, manifest, file, progress)
        with database.write() as connection:
            _require_empty(connection, manifest)
            tables = ledger_tables(connection)
            _require_tables(manifest, tables)
            for name, about in manifest.tables.items():
                _restore_table(connection, name, about, archive, progress)
            if version_of(connection) != newest_version():
                upgrade_to(connection, "head")
            _verify(connection, manifest, file, progress)
    return manifest


def rehearse(file: Path, progress: Progress) -> BackupManifest:
    """Restore a backup into a temporary SQLite ledger. Raises BackupRefused."""
    with (
        tempfile.TemporaryDirectory(prefix="sellertrust-restore-") as folder,
        closing(Database(f"sqlite:///{Path(folder) / 'ledger.db'}")) as database,
    ):
        return restore_backup(database, file, progress)


@contextmanager
def _open_archive(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE_ERRORS as error:
        raise _damage_error(file, "its directory", error) from None
    with archive:
        yield archive


def _read_manifest(archive: zipfile.ZipFile, file: Path) -> BackupManifest:
    try:
        with _open_member(archive, MANIFEST) as member:
            text = member.read(_MANIFEST_BYTES + 1)
    except _DAMAGE_ERRORS as error:
        raise _damage_error(file, MANIFEST, error) from None
    if len(text) > _MANIFEST_BYTES:
        raise BackupRefused(f"{file} is no backup: its manifest is longer than {_MANIFEST_BYTES:,} bytes")
    try:
        manifest = BackupManifest.model_validate_json(text)
    except ValueError:
        raise BackupRefused(f"{file} is no backup that this release can read: its manifest has another form") from None
    if not is_known_version(manifest.schema_version):
        raise BackupRefused(
            f"{file} is of a newer release, with the schema {manifest.schema_version}; restore it by that release"
        )
    return manifest


def _check_digests(archive: zipfile.ZipFile, manifest: BackupManifest, file: Path, progress: Progress) -> None:
    for name, table in manifest.tables.items():
        digest, done = sha256(), 0
        try:
            size = archive.getinfo(name_member(name)).file_size
            with _open_member(archive, name_member(name)) as member:
                while data := member.read(_CHUNK):
                    digest.update(data)
                    done += len(data)
                    progress(f"check {name}", min(done, size - 1), size)
            if digest.hexdigest() != table.sha256:
                raise ValueError("its SHA-256 is not the one of the manifest")
        except _DAMAGE_ERRORS as error:
            raise _damage_error(file, name_member(name), error) from None
        progress(f"check {name}", size, size)


def _require_empty(connection: Connection, manifest: BackupManifest) -> None:
    """Raise BackupRefused unless the ledger is empty and of the backup's schema; make its tables if there are none."""
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


def _require_tables(manifest: BackupManifest, tables: Mapping[str, Table]) -> None:
    expected = set(tables) - ({KEYS} & set(manifest.left_out))
    if expected != set(manifest.tables):
        raise _forged_backup_error(f"the backup does not hold the tables {', '.join(sorted(expected))}")
    for name, about in manifest.tables.items():
        columns = tables[name].c
        binary = sorted(column.name for column in columns if isinstance(column.type, LargeBinary))
        if sorted(about.columns) != sorted(columns.keys()) or sorted(about.bytes_columns) != binary:
            raise _forged_backup_error(f"the backup's {name} has other columns than the table of its schema")


def _restore_table(
    connection: Connection, name: str, about: BackupTable, archive: zipfile.ZipFile, progress: Progress
) -> None:
    done = 0
    progress(f"restore {name}", 0, about.rows)
    with _open_member(archive, name_member(name)) as packed, BufferedReader(packed, _CHUNK) as member:  # type: ignore[type-var]
        while lines := _read_lines(member, name):
            try:
                insert_rows(connection, name, tuple(about.columns), _parse_rows(lines, about))
            except _ROW_ERRORS:
                raise _forged_backup_error(
                    f"the backup's {name_member(name)} holds a row that the schema refuses, after line {done}"
                ) from None
            done += len(lines)
            progress(f"restore {name}", min(done, about.rows), about.rows)
    if done != about.rows:
        raise BackupRefused(f"the backup's {name_member(name)} has {done:,} rows, and its manifest says {about.rows:,}")


def _read_lines(member: IO[bytes], name: str) -> list[bytes]:
    lines: list[bytes] = []
    size = 0
    while len(lines) < ROWS and size < _LINE_BYTES and (line := member.readline(_LINE_BYTES + 1)):
        size += len(line)
        if len(line) > _LINE_BYTES:
            raise _forged_backup_error(
                f"the backup's {name_member(name)} has a line of more than {_LINE_BYTES:,} bytes"
            )
        lines.append(line)
    return lines


def _parse_rows(lines: list[bytes], about: BackupTable) -> list[tuple[Any, ...]]:
    binary = [index for index, name in enumerate(about.columns) if name in about.bytes_columns]
    rows = []
    for line in lines:
        values: list[Any] = _ROW.validate_json(line)
        if len(values) != len(about.columns):
            raise ValueError("no row of this table")
        for index in binary:
            values[index] = None if values[index] is None else b64decode(values[index], validate=True)
        rows.append(tuple(values))
    return rows


def _verify(connection: Connection, manifest: BackupManifest, file: Path, progress: Progress) -> None:
    checkpoint = [(manifest.sequence, bytes.fromhex(manifest.chain))] if manifest.sequence else []
    report = verify(
        lambda query: connection.execute(query).all(), checkpoint, lambda done, total: progress("verify", done, total)
    )
    if report.mismatch:
        raise BackupRefused(
            f"{file} is whole, and the ledger in it is not what was sealed: from entry {report.mismatch.sequence} on,"
            f" {report.mismatch.problem}; restore an earlier backup"
        )
    if fault := report.key_wrong or report.position_ahead:
        raise BackupRefused(
            f"{file} is whole, and the ledger in it is not as it was written: entry {fault.sequence}: {fault.problem};"
            " restore an earlier backup"
        )


def _open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    about = archive.getinfo(name)
    if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed by another method")
    return archive.open(about)


def _forged_backup_error(problem: str) -> BackupRefused:
    return BackupRefused(f"{problem}: it was made by hand")


def _damage_error(file: Path, member: str, error: Exception) -> BackupRefused:
    reason = str(error).strip('"').rstrip(".") or type(error).__name__
    return BackupRefused(f"{file} is damaged or cut short: {member} cannot be read ({reason}); take another copy")
