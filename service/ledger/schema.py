"""The schema of the ledger's database: which version it has, and the way to the present one."""

from enum import Enum
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from scoring.errors import LedgerVersionUnknown
from service.ledger.database import Database

VERSION_TABLE = "ledger_version"


class SchemaState(Enum):
    """How a database's schema compares with the one this release writes."""

    ABSENT = "absent"
    CURRENT = "current"
    BEHIND = "behind"
    UNKNOWN = "unknown"


def schema_state(url: str) -> SchemaState:
    """The state of the database at `url`, which is not touched. LedgerUnavailable, ConfigurationWrong."""
    database = Database(url)
    try:
        return state_of(database)
    finally:
        database.close()


def upgrade(url: str) -> None:
    """Brings the database at `url` to the present schema; makes a SQLite file that is not there.

    All of it happens in one transaction under the ledger's lock: of processes that start together one upgrades, the
    others find it done, and a failure changes nothing. LedgerVersionUnknown if the database is of a newer release.
    """
    database = Database(url)
    try:
        bring_up(database)
    finally:
        database.close()


def state_of(database: Database) -> SchemaState:
    """As `schema_state`, for an open database."""
    if database.is_missing:
        return SchemaState.ABSENT
    with database.read() as connection:
        return _state(connection)


def bring_up(database: Database) -> None:
    """As `upgrade`, for an open database."""
    with database.write() as connection:
        if _state(connection) is SchemaState.UNKNOWN:
            raise unknown()
        if not database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # an index over a large table takes its time
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(state: SchemaState) -> None:
    """LedgerVersionUnknown, which says what to do, unless the state is CURRENT."""
    if state is SchemaState.UNKNOWN:
        raise unknown()
    if state is SchemaState.BEHIND:
        raise LedgerVersionUnknown("the ledger's schema is older than this release; run: sellertrust db upgrade")
    if state is SchemaState.ABSENT:
        raise LedgerVersionUnknown("there is no ledger in this database yet; to make one, run: sellertrust db upgrade")


def unknown() -> LedgerVersionUnknown:
    """The refusal of a database that a newer release has upgraded."""
    return LedgerVersionUnknown(
        f"the ledger's schema is newer than this release, which knows it up to {head()}; install the release that"
        " upgraded it, or name another database"
    )


def head() -> str:
    """The version of the schema that this release writes."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _state(connection: Connection) -> SchemaState:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    version = context.get_current_revision()
    if version is None:
        return SchemaState.ABSENT
    scripts = ScriptDirectory.from_config(_config())
    if version == scripts.get_current_head():
        return SchemaState.CURRENT
    known = {script.revision for script in scripts.walk_revisions()}
    return SchemaState.BEHIND if version in known else SchemaState.UNKNOWN


def _config() -> Config:
    config = Config()
    folder = Path(str(files("service.ledger") / "migrations"))
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
