from pathlib import Path
from typing import Annotated, Any

import typer

from service.bootstrap import prepare_database
from service.cli.options import NewFile
from service.cli.output import Format, Output, emit_one, say
from service.cli.progress import StepProgress
from service.settings import load

app = typer.Typer()


@app.command("backup")
def backup(
    file: NewFile,
    without_keys: Annotated[
        bool,
        typer.Option(
            "--without-keys", help="Leave out the keys of sealed personal data: they outlive an erasure here."
        ),
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Back up the whole ledger, of every marketplace, as of one moment, while servers go on.

    FILE must not exist. Any database can restore it. Check a backup with verify backup FILE. A backup keeps keys that
    the ledger erases later. Delete backups in time, or keep keys elsewhere (--without-keys). Models, the policy and the
    signing key of checkpoints are separate files.
    """
    from service.ledger.clock.server_clock import wall_clock
    from service.ledger.database.database import Database
    from service.ledger.seals.backup import write_backup

    settings = load()
    prepare_database(settings, create=False)
    database = Database(settings.database_url)
    try:
        with StepProgress() as progress:
            manifest = write_backup(database, file, progress, now=wall_clock(), without_keys=without_keys)
    finally:
        database.close()
    emit_one(_row(file, manifest), output)


@app.command("restore")
def restore(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A backup, from SQLite or from PostgreSQL."),
    ],
    output: Output = Format.TABLE,
) -> None:
    """Restore a backup into a database without a ledger, or with an empty one.

    All of it is restored and verified, or nothing. A backup of an older schema is upgraded.
    """
    from service.ledger.database.database import Database
    from service.ledger.seals.restore import restore_backup

    settings = load()
    prepare_database(settings, create=True)
    database = Database(settings.database_url)
    try:
        with StepProgress() as progress:
            manifest = restore_backup(database, file, progress)
    finally:
        database.close()
    show_backup(file, manifest, output)


def show_backup(file: Path, manifest: Any, output: Format) -> None:
    """Show a backup's content, and warn if it has no keys."""
    emit_one(_row(file, manifest), output)
    if manifest.left_out:
        say(
            "warning: this backup holds no keys, so sealed texts (reasons, where evidence is kept) cannot be read in what is"
            " restored from it; all that counts is there, and verify ledger names what is missing"
        )


def _row(file: Path, manifest: Any) -> dict[str, Any]:
    return {
        "file": str(file),
        "made": manifest.made,
        "schema": manifest.schema_version,
        "sequence": manifest.sequence,
        "chain": manifest.chain,
        **{name: table.rows for name, table in manifest.tables.items()},
        "left_out": manifest.left_out,
    }
