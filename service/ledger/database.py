"""The ledger's connections: many that read, one that writes, on SQLite and on PostgreSQL.

What differs between the two is here and in the migrations, and nowhere else: how a connection is set up, what a write
begins with, how many rows are inserted at once, and how a column is compared with a list.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, Text, create_engine, event, exc, make_url
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from scoring.errors import ConfigurationWrong, LedgerUnavailable
from service.ledger.tables import ENTRY

READERS = 16  # connections that read at the same time; a server with more threads lets them wait
WAIT_SECONDS = 10  # for a connection, for SQLite's lock, for PostgreSQL's network
STATEMENT_SECONDS = 30  # on PostgreSQL, which waits for a lock within a statement too

_LOCK = 7_310_012_417  # of PostgreSQL's advisory locks, in this database: the one that orders all writes
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({_LOCK})"}
_PRAGMAS = ("synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON")  # the last guards against OR REPLACE
_READER_PRAGMAS = ("query_only=ON",)
# A batch touches pages all over the indexes: 64 MiB of them stay in memory, and the WAL may grow to 40 MB, so that a
# page which many batches touch is folded back once (7 % of a bulk import).
_WRITER_PRAGMAS = ("journal_mode=WAL", "secure_delete=ON", "cache_size=-65536", "wal_autocheckpoint=10000")
_COLUMNS = ", ".join(ENTRY.c.keys())
_INSERT = f"INSERT INTO entry ({_COLUMNS}) VALUES ({', '.join('?' * len(ENTRY.c))})"  # noqa: S608 (constants)
_COPY = f"COPY entry ({_COLUMNS}) FROM STDIN"

CONFLICT = (exc.IntegrityError, psycopg.IntegrityError)
"""What `Database.insert` raises when a unique key is taken or a CHECK fails."""


class Database:
    """A ledger's database, by its URL. Connections are made when they are first needed.

    ConfigurationWrong if the URL cannot be used.
    """

    def __init__(self, url: str) -> None:
        self.url = _usable(url)
        self._closed = False
        self._readers = self._engine(READERS, isolation_level="AUTOCOMMIT")  # one statement, one round trip
        # One connection writes: it is the lock between threads, and on SQLite the only one that checkpoints, which
        # keeps clear of the corruption by two that SQLite before 3.51.3 can suffer.
        self._writer = self._engine(1)
        begin = _BEGIN[self.url.get_backend_name()]
        event.listen(self._writer, "begin", lambda connection: connection.exec_driver_sql(begin))
        if self.is_sqlite:
            event.listen(self._readers, "connect", lambda connection, _: _set(connection, _READER_PRAGMAS))
            event.listen(self._writer, "connect", lambda connection, _: _set(connection, _WRITER_PRAGMAS))

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite; else it is PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def is_missing(self) -> bool:
        """Whether it is a file that is not there. The first connection would make it."""
        return self.is_sqlite and not Path(self.url.database or "").exists()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that reads what is committed, each statement by itself. LedgerUnavailable."""
        with self._answering(), self._readers.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the ledger's one lock, over all processes, until it is committed.

        An error rolls it back. LedgerUnavailable, after which a commit may or may not have happened.
        """
        with self._answering(), self._writer.begin() as connection:
            yield connection

    def insert(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Inserts rows with all columns in the table's order. One of CONFLICT if the database refuses one.

        PostgreSQL takes 12 us a row by COPY where executemany takes 85.
        """
        if self.is_sqlite:
            connection.exec_driver_sql(_INSERT, [tuple(row) for row in rows])
            return
        with connection.connection.cursor() as cursor, cursor.copy(_COPY) as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row(row)

    def maintain(self, statement: str) -> None:
        """Runs a maintenance statement, which is no part of a transaction, on the connection that writes."""
        with self._answering(), self._writer.connect() as connection:
            raw: Any = connection.connection.driver_connection
            if self.is_sqlite:
                raw.execute(statement).fetchall()
                return
            raw.autocommit = True
            try:
                raw.execute(statement)
            finally:
                raw.autocommit = False

    def close(self) -> None:
        """Closes all connections; the writer last, so that it is the one that folds SQLite's WAL back."""
        self._closed = True
        self._readers.dispose()
        self._writer.dispose()

    def _engine(self, connections: int, **options: Any) -> Engine:
        if self.is_sqlite:
            arguments: dict[str, Any] = {"timeout": WAIT_SECONDS, "isolation_level": None, "check_same_thread": False}
        else:
            arguments = {
                "connect_timeout": WAIT_SECONDS,
                "tcp_user_timeout": WAIT_SECONDS * 1000,  # else a network that swallows packets holds a call for hours
                # Every statement is a walk along one index, whatever its parameters: planning each call anew (which
                # PostgreSQL prefers to do for a list) made reading a seller 45 us slower.
                "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c plan_cache_mode=force_generic_plan",
            }
        engine = create_engine(
            self.url,
            connect_args={name: value for name, value in arguments.items() if name not in self.url.query},
            pool_size=connections,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            pool_pre_ping=not self.is_sqlite,
            hide_parameters=True,
            **options,
        )
        if self.is_sqlite:
            event.listen(engine, "connect", lambda connection, _: _set(connection, _PRAGMAS))
        return engine

    @contextmanager
    def _answering(self) -> Iterator[None]:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        try:
            yield
        except (exc.SQLAlchemyError, sqlite3.Error, psycopg.Error) as error:
            if not _is_silence(error):
                raise
            if _is_full(error):
                raise LedgerUnavailable(
                    "the disk of the ledger's database is full; nothing of the call was written, and it may be repeated"
                    " once the operator has made room"
                ) from error
            raise LedgerUnavailable(
                "the ledger's database does not answer; the call may be repeated, and an append that was carried out"
                " all the same is recognised by its entry ids"
            ) from error


class Texts(TypeDecorator[Sequence[str]]):
    """A list of texts as one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        return json.dumps(list(value or ())) if dialect.name == "sqlite" else list(value or ())


class among(FunctionElement[Any]):  # noqa: N801 (used as a function)
    """`among(column, bindparam("names", type_=Texts()))`: whether the column is one of the names.

    One statement whatever their number: SQLAlchemy's IN of 1,000 parameters took PostgreSQL 15 times as long.
    """

    # No Boolean type: on SQLite SQLAlchemy would write "... = 1" behind it, which no index can serve.
    inherit_cache = True


@compiles(among, "sqlite")
def _among_in_sqlite(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, names = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({names}))"  # noqa: S608 (of compiled clauses)


@compiles(among, "postgresql")
def _among_in_postgresql(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, names = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({names})"


def _usable(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise ConfigurationWrong(f"the database URL cannot be read; {_FORMS}") from None  # it may hold a password
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigurationWrong(f"the database URL names neither a PostgreSQL database nor a SQLite file; {_FORMS}")
    return parsed


_FORMS = "write sqlite:///ledger.db or postgresql://user@host/database"


def _set(connection: Any, pragmas: Sequence[str]) -> None:
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _is_silence(error: Exception) -> bool:
    """Whether the database did not answer, as opposed to having refused what it was asked."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    refusals = ("IntegrityError", "ProgrammingError", "DataError", "NotSupportedError")
    answered = any(isinstance(cause, getattr(driver, name)) for driver in (sqlite3, psycopg) for name in refusals)
    return isinstance(cause, sqlite3.Error | psycopg.Error | exc.TimeoutError) and not answered


def _is_full(error: Exception) -> bool:
    """Whether the database had no room to write. Reads go on meanwhile."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    return isinstance(cause, psycopg.errors.DiskFull) or getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
