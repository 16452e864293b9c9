"""The schema's version, and its upgrade.

A migration that only adds tables, indexes or nullable columns may state the oldest schema whose release may still
write: `writable_by = "0100"`. Only the newest release verifies.
"""

from contextlib import closing
from enum import Enum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from scoring.base.errors import LedgerVersionUnknown
from service.ledger.database.database import Database, lift_limits

VERSION_TABLE = "ledger_version"
COMPATIBILITY_TABLE = "ledger_compatibility"
BOOKKEEPING = (VERSION_TABLE, COMPATIBILITY_TABLE)
MIGRATIONS = Path(__file__).with_name("migrations")

_COMPATIBILITY = (
    f"CREATE TABLE IF NOT EXISTS {COMPATIBILITY_TABLE} (version TEXT PRIMARY KEY, writable_by TEXT NOT NULL)"
)
_REFUSAL = "the ledger is append-only: what a schema has stated stands"
_GUARDS = {
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS {COMPATIBILITY_TABLE}_no_{change} BEFORE {change} ON {COMPATIBILITY_TABLE}"
        f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for change in ("update", "delete")
    ],
    "postgresql": [
        f"CREATE OR REPLACE TRIGGER {COMPATIBILITY_TABLE}_no_{name} BEFORE {change} ON {COMPATIBILITY_TABLE}"
        f" FOR EACH {each} EXECUTE FUNCTION entry_append_only()"
        for name, change, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT"))
    ],
}
_READ_WRITABLE_BY = text(f"SELECT writable_by FROM {COMPATIBILITY_TABLE} WHERE version = :version")  # noqa: S608 (a constant)
_STATE_WRITABLE_BY = text(
    f"INSERT INTO {COMPATIBILITY_TABLE} (version, writable_by) VALUES (:version, :writable_by) ON CONFLICT DO NOTHING"  # noqa: S608
)


class SchemaState(Enum):
    """A newer schema that this release may write is CURRENT."""

    ABSENT = "absent"
    CURRENT = "current"
    BEHIND = "behind"
    UNKNOWN = "unknown"


def upgrade(url: str) -> None:
    """Make the ledger's tables, or bring them to this release's schema."""
    with closing(Database(url)) as database:
        upgrade_open(database)


def state_of(database: Database) -> SchemaState:
    if database.is_missing:
        return SchemaState.ABSENT
    with database.read() as connection:
        return _read_state(connection)


def upgrade_open(database: Database) -> None:
    """Upgrade to the present schema, in one transaction under the lock.

    Raises LedgerVersionUnknown if the database is of a newer release.
    """
    with database.write() as connection:
        upgrade_to(connection, "head")


def upgrade_to(connection: Connection, version: str) -> None:
    """Upgrade the schema to a known version, in the caller's transaction.

    It keeps a newer schema that this release may write. Raises LedgerVersionUnknown.
    """
    if _read_state(connection) is SchemaState.UNKNOWN:
        raise newer_schema_error()
    version_before = version_of(connection)
    if version_before is not None and not is_known_version(version_before):
        return
    if connection.dialect.name == "postgresql":
        lift_limits(connection)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, version)
    for statement in (_COMPATIBILITY, *_GUARDS[connection.dialect.name]):
        connection.exec_driver_sql(statement)
    for script in _scripts().iterate_revisions(version_of(connection), "base"):
        writable_by = getattr(script.module, "writable_by", script.revision)
        connection.execute(_STATE_WRITABLE_BY, {"version": script.revision, "writable_by": writable_by})


def version_of(connection: Connection) -> str | None:
    """Return the schema's version, such as `0101`; None without a ledger."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def is_known_version(version: str) -> bool:
    """Return whether this release has a migration of this number, such as `0101`."""
    return any(script.revision == version for script in _scripts().walk_revisions())


def require_current(database: Database) -> None:
    """Raise LedgerVersionUnknown unless the schema is CURRENT."""
    state = state_of(database)
    if state is SchemaState.UNKNOWN:
        raise newer_schema_error()
    if state is SchemaState.BEHIND:
        raise LedgerVersionUnknown("the ledger's schema is older than this release; run: sellertrust ledger upgrade")
    if state is SchemaState.ABSENT:
        raise LedgerVersionUnknown(
            "there is no ledger in this database yet; to make one, run: sellertrust ledger upgrade"
        )


def newer_schema_error() -> LedgerVersionUnknown:
    return LedgerVersionUnknown(
        f"the ledger's schema is newer than this release, which knows it up to {newest_version()}; install the release that"
        " upgraded it, or name another database"
    )


def newest_version() -> str:
    return str(_scripts().get_current_head())


def _read_state(connection: Connection) -> SchemaState:
    version = version_of(connection)
    if version is None:
        return SchemaState.ABSENT
    if is_known_version(version):
        return SchemaState.CURRENT if version == newest_version() else SchemaState.BEHIND
    writable_by = _read_writable_by(connection, version)
    return SchemaState.CURRENT if writable_by and is_known_version(writable_by) else SchemaState.UNKNOWN


def _read_writable_by(connection: Connection, version: str) -> str | None:
    if not connection.dialect.has_table(connection, COMPATIBILITY_TABLE):
        return None
    return connection.execute(_READ_WRITABLE_BY, {"version": version}).scalar()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))
