"""PostgreSQL roles: the owner makes and upgrades tables; a server's role only reads and appends."""

from collections.abc import Iterator
from contextlib import closing

from sqlalchemy import Connection, text

from scoring.base.errors import ConfigurationWrong
from service.ledger.database.database import Database, missing_rights_error
from service.ledger.database.schema import BOOKKEEPING, require_current
from service.ledger.database.tables import TableBase

KEYS = "seller_key"

_MAINTAIN = (17,)

_VERSION_OUT_OF_REACH = text(
    "SELECT 1 FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace WHERE relname = :version"
    " AND NOT has_schema_privilege(n.oid, 'USAGE')"
)
_TABLE_RIGHTS = text(
    "SELECT relname, has_table_privilege(c.oid, 'SELECT') AND (:reads OR has_table_privilege(c.oid, 'INSERT'))"
    " FROM pg_class AS c WHERE relname = ANY(:names) AND pg_table_is_visible(c.oid)"
)
_HAS_EVERY_RIGHT = text(
    "SELECT rolsuper OR pg_has_role(rolname, tableowner, 'MEMBER') FROM pg_roles, pg_tables"
    " WHERE rolname = :role AND schemaname = current_schema() AND tablename = 'entry'"
)


def require_rights(database: Database, *, writing: bool) -> None:
    """Raise ConfigurationWrong if the role may not read or, if `writing`, append."""
    if database.is_sqlite:
        return
    with database.read() as connection:
        if connection.execute(_VERSION_OUT_OF_REACH, {"version": BOOKKEEPING[0]}).first() is not None:
            raise missing_rights_error()
        for names, reads in ((list(TableBase.metadata.tables), not writing), (list(BOOKKEEPING), True)):
            rights = connection.execute(_TABLE_RIGHTS, {"names": names, "reads": reads})
            if not all(allowed for _, allowed in rights):
                raise missing_rights_error()


def grant(url: str, role: str, eraser: str | None = None) -> None:
    """Leave `role` exactly the rights of a server on the tables, and `eraser` also the right to delete sellers' keys.

    Raises ConfigurationWrong on SQLite, if a role is missing or has every right anyway, or if another role owns the
    tables; LedgerVersionUnknown unless the schema is this release's.
    """
    with closing(Database(url)) as database:
        if database.is_sqlite:
            raise ConfigurationWrong("SQLite has no roles: the permissions of its file say who may write")
        require_current(database)
        with database.write() as connection:
            for name in filter(None, (role, eraser)):
                _require_grantable(connection, name)
                for statement in _list_grant_statements(connection, name, erases=name == eraser):
                    connection.exec_driver_sql(statement)


def _list_grant_statements(connection: Connection, role: str, *, erases: bool) -> Iterator[str]:
    database, schema = connection.execute(text("SELECT current_database(), current_schema()")).one()
    tables = [name for name in TableBase.metadata.tables if connection.dialect.has_table(connection, name)]
    bookkeeping = [name for name in BOOKKEEPING if connection.dialect.has_table(connection, name)]
    yield from (
        _write_statement("REVOKE ALL ON {} FROM {}", connection, [*tables, *bookkeeping], role),
        _write_statement("GRANT CONNECT ON DATABASE {} TO {}", connection, [database], role),
        _write_statement("GRANT USAGE ON SCHEMA {} TO {}", connection, [schema], role),
        _write_statement("GRANT SELECT, INSERT ON {} TO {}", connection, tables, role),
        _write_statement("GRANT SELECT ON {} TO {}", connection, bookkeeping, role),
    )
    if erases and KEYS in tables:
        yield _write_statement("GRANT DELETE ON {} TO {}", connection, [KEYS], role)
        if (connection.dialect.server_version_info or (0,)) >= _MAINTAIN:
            yield _write_statement("GRANT MAINTAIN ON {} TO {}", connection, [KEYS], role)


def _write_statement(statement: str, connection: Connection, names: list[str], role: str) -> str:
    import psycopg
    from psycopg import sql

    identifiers = sql.SQL(", ").join(sql.Identifier(name) for name in names)
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 (narrows the type)
    return sql.SQL(statement).format(identifiers, sql.Identifier(role)).as_string(raw).replace("%", "%%")


def _require_grantable(connection: Connection, role: str) -> None:
    has_every_right = connection.execute(_HAS_EVERY_RIGHT, {"role": role}).scalar()
    if has_every_right is None:
        raise ConfigurationWrong(
            f"there is no role {role!r}; make it first, in psql: CREATE ROLE name LOGIN PASSWORD ..."
        )
    if has_every_right:
        raise ConfigurationWrong(
            f"the role {role!r} owns the ledger's tables or is a superuser, so that no grant could bound it; make a role"
            " of its own for the server"
        )
