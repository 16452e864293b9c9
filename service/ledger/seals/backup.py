"""Backups: the whole ledger of one moment in one file, the same from SQLite and PostgreSQL.

The file is a zip with one member per table, JSON lines of rows in key order, and a manifest. The manifest holds the
schema's version, each table's columns, count and SHA-256, and the checkpoint. It comes last, so a truncated file has
none.
"""

import base64
import json
import os
import secrets
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Column, Connection, LargeBinary, MetaData, Table, func, inspect, select

from scoring.base.errors import BackupRefused, LedgerVersionUnknown
from scoring.base.progress import Progress
from scoring.base.time import format_time
from service.files import sync_folder
from service.ledger.database.database import Database
from service.ledger.database.rights import KEYS
from service.ledger.database.schema import is_known_version, newer_schema_error, version_of
from service.ledger.database.tables import SEAL, TableBase
from service.ledger.seals.chain import GENESIS, LAST_SEAL

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
    """Write the whole ledger to a new private file; return its manifest.

    `now`: in microseconds. `without_keys` leaves out the keys of sealed texts. Raises BackupRefused if the file exists;
    LedgerVersionUnknown without a ledger, or for a newer schema.
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
    """Return the ledger's tables as this database has them, also of an older schema."""
    inspector = inspect(connection)
    found = {}
    for name in (table.name for table in TableBase.metadata.sorted_tables):
        if inspector.has_table(name):
            key = set(inspector.get_pk_constraint(name)["constrained_columns"])
            columns = [Column(c["name"], c["type"], primary_key=c["name"] in key) for c in inspector.get_columns(name)]
            found[name] = Table(name, MetaData(), *columns)
    return found


def name_member(table: str) -> str:
    return f"{table}.jsonl"


def _begin_manifest(connection: Connection, now: int, *, without_keys: bool) -> BackupManifest:
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
    for text in _list_lines(connection, ledger_tables(connection)[name], about):
        data = "".join(text).encode()
        digest.update(data)
        member.write(data)
        done += len(text)
        progress(f"back up {name}", done, about.rows)
    return digest.hexdigest()


def _list_lines(connection: Connection, table: Table, about: BackupTable) -> Iterator[list[str]]:
    binary = [index for index, name in enumerate(about.columns) if name in about.bytes_columns]
    query = select(table).order_by(*table.primary_key.columns)
    for rows in connection.execute(query, execution_options={"yield_per": ROWS}).partitions():
        texts = []
        for row in rows:
            values: list[Any] = list(row)
            for index in binary:
                values[index] = None if values[index] is None else base64.b64encode(values[index]).decode()
            texts.append(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")
        yield texts


def _exists_error(file: Path) -> BackupRefused:
    return BackupRefused(f"{file} exists already, and a backup is never overwritten; name another file")


def _no_ledger_error() -> LedgerVersionUnknown:
    return LedgerVersionUnknown("there is no ledger in this database, hence nothing to back up")
