import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain, islice
from math import inf
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Executable, create_engine, event, exc, make_url

from scoring.base.errors import ConfigurationWrong, LedgerUnavailable
from service.ledger.database.drivers import (
    CANNOT_CONNECT_NOW,
    DISK_FULL,
    INSUFFICIENT_PRIVILEGE,
    LOCK_NOT_AVAILABLE,
    driver_errors,
    sqlstate_of,
)
from service.ledger.database.one_writer import WriterLock
from service.ledger.database.tables import ENTRY

READERS = 16
CONNECT_SECONDS = 3
WAIT_SECONDS = 10
STATEMENT_SECONDS = 30
ANSWER_SECONDS = 5
IDLE_SECONDS = 30

CLOCK = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
"""Now, rather than at the transaction's beginning; in microseconds."""

RELAXED = "sellertrust.durability"
"""Its value `relaxed` allows a test database to lose commits."""

_LOCK_NUMBER = 7_310_012_417
_DURABILITY = (
    "current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,"
    f" coalesce(current_setting('{RELAXED}', true), '') AS durability"
)
_BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": f"WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock({_LOCK_NUMBER}))"  # noqa: S608 (constants)
    f" SELECT {CLOCK} AS clock, {_DURABILITY} FROM locked",
}
_CLOCK_AND_LOCK = f"SELECT {CLOCK}, pg_try_advisory_xact_lock_shared({_LOCK_NUMBER})"
_LOCKED_AT, _INSERTED = "sellertrust.locked_at", "sellertrust.inserted"
_SERVER_SETTINGS = f"SELECT current_setting('server_version') AS version, {_DURABILITY}"
_WAL_RESET_MENDED = (3, 51, 3)
_PRAGMAS = ("synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON")  # the last guards against OR REPLACE
_READER_PRAGMAS = ("query_only=ON",)
# So a page of many batches is folded back once (7 % of a bulk import).
_WRITER_PRAGMAS = ("journal_mode=WAL", "secure_delete=ON", "cache_size=-65536", "wal_autocheckpoint=10000")
_WRITER_OPTIONS = f"-c lock_timeout={WAIT_SECONDS * 1000} -c idle_in_transaction_session_timeout={IDLE_SECONDS * 1000}"
_ENTRY_COLUMNS = tuple(ENTRY.c.keys())
_MAX_SQLITE_VARIABLES = 999

CONFLICT: tuple[type[Exception], ...] = (exc.IntegrityError, *driver_errors("IntegrityError"))
"""Errors of the drivers for a taken unique key or a failed CHECK; `write` lets them through."""
_FAILURES: tuple[type[Exception], ...] = (exc.SQLAlchemyError, *driver_errors("Error"))


class Database:
    """A ledger's database; it connects on first use. Raises ConfigurationWrong for an unusable URL."""

    def __init__(self, url: str) -> None:
        self.url = _parse_url(url)
        self.listeners: list[Callable[[Sequence[Sequence[Any]]], None]] = []
        """Called with committed entries of this object's writes."""
        self._closed = False
        self._lock = WriterLock(Path(self.url.database or "")) if self.is_sqlite else None
        if self._lock is None:
            from service.ledger.database.postgresql import Connector

            self._connector = Connector()
        self._readers = self._make_engine(READERS, _READER_PRAGMAS, "", isolation_level="AUTOCOMMIT")
        # Two that checkpoint can corrupt a file before SQLite 3.51.3.
        self._writer = self._make_engine(1, _WRITER_PRAGMAS, _WRITER_OPTIONS)
        event.listen(self._writer, "begin", _take_lock)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def engines(self) -> tuple[Engine, Engine]:
        return self._readers, self._writer

    @property
    def is_missing(self) -> bool:
        return self.is_sqlite and not Path(self.url.database or "").exists()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read; each statement sees what is committed when it begins."""
        with self._translate_errors(), self._readers.connect() as connection:
            try:
                yield connection
            finally:
                if self._closed:
                    connection.invalidate()

    def rows(self, query: Executable, **values: Any) -> Sequence[Any]:
        """Run a query in a read of its own. Raises LedgerUnavailable."""
        with self.read() as connection:
            return connection.execute(query, values).all()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that holds the ledger's lock, across all processes; an error rolls it back.

        It makes a missing SQLite file. Raises LedgerUnavailable, after which a commit may have happened;
        ConfigurationWrong if another process writes to the SQLite file, or PostgreSQL might lose commits.
        """
        with self._translate_errors():
            if self._lock:
                self._lock.share()
            if self.is_missing:
                with suppress(OSError):
                    os.close(os.open(str(self.url.database), os.O_RDWR | os.O_CREAT, 0o600))
            with self._writer.begin() as connection:
                inserted = connection.info[_INSERTED] = []
                yield connection
            for listener in tuple(self.listeners) if inserted else ():
                with suppress(Exception):
                    listener(inserted)

    def read_settled_clock(self, clock: Callable[[], int] | None) -> int | None:
        """Return a time, in microseconds: all entries recorded before it are committed. None during a write.

        `clock` gives the time; None means PostgreSQL's own clock. SQLite needs one.
        """
        # The clock first, then the lock: a later holder of the lock reads a later clock.
        with self.read() as connection:
            now = clock() if clock else 0
            if not self.is_sqlite:
                database, is_free = connection.exec_driver_sql(_CLOCK_AND_LOCK).one()
                return (now or int(database)) if is_free else None
            raw: Any = connection.connection.driver_connection
            try:
                raw.execute("PRAGMA query_only=OFF")
                raw.execute("PRAGMA busy_timeout=0")
                raw.execute("BEGIN IMMEDIATE")
                raw.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return None
            finally:
                raw.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000}")
                raw.execute("PRAGMA query_only=ON")
            return now

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a read of one moment, without time limits."""
        with self._translate_errors(), self._readers.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
                try:
                    yield connection
                finally:
                    connection.exec_driver_sql("ROLLBACK")
                return
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            lift_limits(connection)
            yield connection

    def ping(self) -> None:
        """Raise LedgerUnavailable unless the database answers a query."""
        with self.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def claim(self) -> None:
        """Make this process the only writer of a SQLite file until `close`; check the settings of PostgreSQL.

        Raises ConfigurationWrong as `write`.
        """
        if self._lock:
            self._lock.claim()
            return
        with self.read() as connection:
            _require_durable(connection.exec_driver_sql(_SERVER_SETTINGS).one()._mapping)

    def about(self) -> dict[str, str]:
        """Return `database`, `version` and settings of durability."""
        if self.is_sqlite:
            return {"database": "sqlite", "version": sqlite3.sqlite_version, "synchronous": "full"}
        with self.read() as connection:
            row = connection.exec_driver_sql(_SERVER_SETTINGS).one()._mapping
        return {"database": "postgresql"} | {str(name): str(value) for name, value in row.items() if value}

    def cautions(self) -> list[str]:
        """Return sentences about risks for operators."""
        if self._lock is None:
            return [_RELAXED_CAUTION] if self.about().get("durability") == "relaxed" else []
        sentences = []
        if sqlite3.sqlite_version_info < _WAL_RESET_MENDED:
            sentences.append(
                f"SQLite {sqlite3.sqlite_version} of this Python can corrupt a file that two programs write to, which 3.51.3"
                " mended; a lock keeps ours from that: let no other, such as the sqlite3 shell, write to the file"
            )
        if not self._lock.is_enforced:
            sentences.append("this system or folder has no file locks, so nothing keeps a second writer from the file")
        return sentences

    def maintain(self, statement: str) -> list[Any]:
        """Run a statement outside any transaction; return SQLite's rows, [] on PostgreSQL."""
        with self._translate_errors(), self._writer.connect() as connection:
            if self._lock:
                self._lock.share()
            raw: Any = connection.connection.driver_connection
            if self.is_sqlite:
                return list(raw.execute(statement).fetchall())
            raw.autocommit = True
            try:
                raw.execute(statement)
            finally:
                raw.autocommit = False
            return []

    def close(self) -> None:
        """Close the connections and release the lock; later calls raise LedgerUnavailable."""
        self._closed = True
        self._readers.dispose()
        self._writer.dispose()
        if self._lock:
            self._lock.release()

    def _make_engine(self, connections: int, pragmas: Sequence[str], settings: str, **options: Any) -> Engine:
        if self.is_sqlite:
            arguments: dict[str, Any] = {"timeout": WAIT_SECONDS, "isolation_level": None, "check_same_thread": False}
        else:
            arguments = {
                "connect_timeout": CONNECT_SECONDS,
                "tcp_user_timeout": WAIT_SECONDS * 1000,
                # Every statement walks one index; a plan per call made reading a seller 45 us slower.
                "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c plan_cache_mode=force_generic_plan"
                f" {settings} {self.url.query.get('options', '')}",
            }
        url_options = set(self.url.query) - {"options"}
        engine = create_engine(
            self.url,
            connect_args={name: value for name, value in arguments.items() if name not in url_options},
            pool_size=connections,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            pool_pre_ping=not self.is_sqlite,
            hide_parameters=True,
            **options,
        )
        if self.is_sqlite:
            event.listen(engine, "connect", lambda connection, _: _set_pragmas(connection, (*_PRAGMAS, *pragmas)))
        else:
            is_stated = "statement_timeout" in str(self.url.query.get("options", ""))
            self._connector.attach(engine, inf if is_stated else STATEMENT_SECONDS + ANSWER_SECONDS)
        return engine

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        try:
            yield
        except _FAILURES as error:
            _forget_rows(error)
            if sqlstate_of(_find_driver_error(error)) == INSUFFICIENT_PRIVILEGE:
                raise missing_rights_error() from error
            if not _is_outage(error):
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


def lift_limits(connection: Connection) -> None:
    """Lift PostgreSQL's time limits for this transaction."""
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    raw: Any = connection.connection.driver_connection
    raw.limit_seconds = inf


def insert_entries(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows with a value for each column of ENTRY, in its order; `listeners` get them after the commit.

    Only inside `Database.write`. Raises one of CONFLICT, for an id that is taken, for example.
    """
    insert_rows(connection, ENTRY.name, _ENTRY_COLUMNS, rows)
    connection.info[_INSERTED] += rows


def insert_rows(connection: Connection, table: str, columns: tuple[str, ...], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows into some columns; raises as `insert_entries`. COPY takes 12 us a row, executemany 85."""
    raw: Any = connection.connection
    if connection.dialect.name == "sqlite":
        remaining, cursor = iter(rows), raw.cursor()
        while part := [*islice(remaining, _MAX_SQLITE_VARIABLES // len(columns))]:
            cursor.execute(_write_insertion(table, columns, len(part)), [*chain.from_iterable(part)])
        return
    names = ", ".join(f'"{name}"' for name in columns)
    with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


@cache
def _write_insertion(table: str, columns: tuple[str, ...], row_count: int) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    marks = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({names}) VALUES {', '.join([marks] * row_count)}"  # noqa: S608


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise ConfigurationWrong(f"the database URL cannot be read; {_FORMS}") from None
    backend = parsed.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigurationWrong(f"the database URL names neither a PostgreSQL database nor a SQLite file; {_FORMS}")
    return parsed


_FORMS = "write sqlite:///ledger.db or postgresql://user@host/database"


def missing_rights_error() -> ConfigurationWrong:
    return ConfigurationWrong(
        "the database's role lacks rights on the ledger; the owner of its tables upgrades it, and gives servers' roles what"
        " they need by: sellertrust ledger upgrade --role ROLE (and --eraser ROLE, to erase)"
    )


_RELAXED_CAUTION = f"what is committed can be lost in a crash, as {RELAXED} = relaxed allows; that is for tests alone"


def _take_lock(connection: Connection) -> None:
    result = connection.exec_driver_sql(_BEGIN[connection.dialect.name])
    if connection.dialect.name == "postgresql":
        row = result.one()._mapping
        connection.info[_LOCKED_AT] = int(row["clock"])
        _require_durable(row)


def lock_time(connection: Connection) -> int | None:
    """Return when `Database.write` got the lock (microseconds); None on SQLite."""
    locked_at: int | None = connection.info.get(_LOCKED_AT)
    return locked_at


def _require_durable(settings: Mapping[Any, Any]) -> None:
    off = [name for name in ("synchronous_commit", "fsync") if settings[name] == "off"]
    if off and settings["durability"] != "relaxed":
        raise ConfigurationWrong(
            f"PostgreSQL has {' and '.join(off)} = off: an acknowledged append could be lost in a crash; turn it on, or,"
            f" for a database of tests, run: ALTER DATABASE name SET {RELAXED} = 'relaxed'"
        )


def _set_pragmas(connection: Any, pragmas: Sequence[str]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    for pragma in pragmas:
        # Connections that switch a file to WAL together collide.
        while True:
            try:
                connection.execute(f"PRAGMA {pragma}")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.005)


def _is_outage(error: Exception) -> bool:
    cause = _find_driver_error(error)
    answered = driver_errors("IntegrityError", "ProgrammingError", "DataError", "NotSupportedError")
    return isinstance(cause, (*driver_errors("Error"), exc.TimeoutError)) and not isinstance(cause, answered)


def _find_driver_error(error: Exception) -> BaseException | None:
    return error.orig if isinstance(error, exc.DBAPIError) else error


def _forget_rows(error: Exception) -> None:
    """Keep class, code and constraint: the rest quotes rows."""
    cause: Any = _find_driver_error(error)
    if code := sqlstate_of(cause):
        problem = cause.diag.message_primary if code.startswith("23") else type(cause).__name__
        cause.args = error.args = (f"PostgreSQL refused it: {problem} ({code})",)


def outage_of(error: Exception) -> str:
    """Return why the database does not answer, as words about it: "its disk is full"."""
    while isinstance(error, LedgerUnavailable) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    cause = _find_driver_error(error)
    text, sqlite_code = str(cause), getattr(cause, "sqlite_errorcode", None)
    causes = {
        "its disk is full": _is_full(error),
        "it starts, recovers or stops": sqlstate_of(cause) == CANNOT_CONNECT_NOW,
        "another session holds its lock": sqlstate_of(cause) == LOCK_NOT_AVAILABLE
        or sqlite_code == sqlite3.SQLITE_BUSY,
        "it refuses connections": "onnection refused" in text or "No such file" in text,
        "its file cannot be used": sqlite_code is not None,
        "it closed the connection": "closed the connection" in text,
    }
    return next((words for words, is_cause in causes.items() if is_cause), "it gives no answer in time")


def _is_full(error: Exception) -> bool:
    cause = _find_driver_error(error)
    return sqlstate_of(cause) == DISK_FULL or getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
