"""The schema of the ledger's database: which version it has, and the way to the present one.

Releases overlap while servers are replaced, so a newer schema may state the oldest one whose release may go on writing:
its migration says `writable_by = "0100"`. That is for migrations that only add: tables, indexes, and columns that may be
NULL. What a release writes, and what it reads, it names column by column. Verification is for the newest release, which
alone knows every column. A migration that says nothing can be written by its own release only.
"""

from enum import Enum
from importlib.resources import files
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
"""Tables about the schema, beside the ledger's own: only an upgrade writes to them."""

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
_STATED = text(f"SELECT writable_by FROM {COMPATIBILITY_TABLE} WHERE version = :version")  # noqa: S608 (a constant)
_STATE = text(  # what is stated stands
    f"INSERT INTO {COMPATIBILITY_TABLE} (version, writable_by) VALUES (:version, :writable_by) ON CONFLICT DO NOTHING"  # noqa: S608
)


class SchemaState(Enum):
    """How a database's schema compares with the one this release writes.

    A newer one that it may write is CURRENT.
    """

    ABSENT = "absent"
    CURRENT = "current"
    BEHIND = "behind"
    UNKNOWN = "unknown"


def upgrade(url: str) -> None:
    """Bring the database at `url` to the present schema; make a SQLite file that is not there.

    All of it happens in one transaction under the ledger's lock: of processes that start together one upgrades, the
    others find it done, and a failure changes nothing. Raises LedgerVersionUnknown if the database is of a newer release.
    """
    database = Database(url)
    try:
        upgrade_open(database)
    finally:
        database.close()


def state_of(database: Database) -> SchemaState:
    """Return the state of the schema in an open database: absent, behind, current or unknown.

    A SQLite file that is missing is ABSENT and is not made.
    """
    if database.is_missing:
        return SchemaState.ABSENT
    with database.read() as connection:
        return _state(connection)


def upgrade_open(database: Database) -> None:
    """Bring an open database to the present schema, in one transaction under the ledger's lock.

    Makes a SQLite file that is not there. Raises LedgerVersionUnknown if the database is of a newer release.
    """
    with database.write() as connection:
        upgrade_to(connection, "head")


def upgrade_to(connection: Connection, version: str) -> None:
    """Upgrade the schema to a version that this release knows, in the caller's transaction.

    Also records which releases may write, and installs the triggers that forbid changes of those records. A database of a
    newer release is left as it is if this release may write it; else LedgerVersionUnknown is raised.
    """
    if _state(connection) is SchemaState.UNKNOWN:
        raise newer_schema_error()
    scripts = ScriptDirectory.from_config(_config())
    found = version_of(connection)
    if found is not None and found not in _known(scripts):
        return
    if connection.dialect.name == "postgresql":
        lift_limits(connection)  # an index over a large table takes its time
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, version)
    for statement in (_COMPATIBILITY, *_GUARDS[connection.dialect.name]):
        connection.exec_driver_sql(statement)
    for script in scripts.iterate_revisions(version_of(connection), "base"):
        writable_by = getattr(script.module, "writable_by", script.revision)
        connection.execute(_STATE, {"version": script.revision, "writable_by": writable_by})


def version_of(connection: Connection) -> str | None:
    """Return the version of the schema in a database; None if there is none."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def knows_version(version: str) -> bool:
    """Return whether this release knows a version of the schema, its own or an earlier one."""
    return version in _known(ScriptDirectory.from_config(_config()))


def require_current(state: SchemaState) -> None:
    """Refuse, by LedgerVersionUnknown with the remedy, a schema that is not CURRENT."""
    if state is SchemaState.UNKNOWN:
        raise newer_schema_error()
    if state is SchemaState.BEHIND:
        raise LedgerVersionUnknown("the ledger's schema is older than this release; run: sellertrust ledger upgrade")
    if state is SchemaState.ABSENT:
        raise LedgerVersionUnknown(
            "there is no ledger in this database yet; to make one, run: sellertrust ledger upgrade"
        )


def newer_schema_error() -> LedgerVersionUnknown:
    """Return the error for a database that a newer release has upgraded, with the remedy."""
    return LedgerVersionUnknown(
        f"the ledger's schema is newer than this release, which knows it up to {newest_version()}; install the release that"
        " upgraded it, or name another database"
    )


def newest_version() -> str:
    """Return the version of the schema that this release writes."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _state(connection: Connection) -> SchemaState:
    version = version_of(connection)
    if version is None:
        return SchemaState.ABSENT
    scripts = ScriptDirectory.from_config(_config())
    known = _known(scripts)
    if version == scripts.get_current_head() or (version not in known and _writable_by(connection, version) in known):
        return SchemaState.CURRENT
    return SchemaState.BEHIND if version in known else SchemaState.UNKNOWN


def _known(scripts: ScriptDirectory) -> set[str]:
    return {script.revision for script in scripts.walk_revisions()}


def _writable_by(connection: Connection, version: str) -> str | None:
    """Return the oldest schema whose release may write a newer one, as the newer one states."""
    if not connection.dialect.has_table(connection, COMPATIBILITY_TABLE):
        return None
    return connection.execute(_STATED, {"version": version}).scalar()


def _config() -> Config:
    config = Config()
    folder = Path(str(files("service.ledger.database") / "migrations"))
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
