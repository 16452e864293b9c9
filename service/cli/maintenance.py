"""The commands that care for the ledger's database: upgrade, backup, restore, checkpoint, erasure, clock."""

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import invalid
from scoring.base.time import SECOND, format_time
from service.bootstrap import open_ledger, prepare_database
from service.cli.common import open_client
from service.cli.options import Actor, EntryId, Ground, Marketplace, NewFile, Reason, Seller, Server
from service.cli.output import Format, Output, emit_one, say
from service.cli.progress import StepProgress
from service.settings import load

if TYPE_CHECKING:
    from service.ledger.database.database import Database


@contextmanager
def _open_database(*, create: bool) -> "Iterator[Database]":
    from service.ledger.database.database import Database

    settings = load()
    prepare_database(settings, create=create)
    with closing(Database(settings.database_url)) as database:
        yield database


def upgrade_command(
    role: Annotated[
        str | None, typer.Option("--role", help="PostgreSQL role of the servers: it may read and append, no more.")
    ] = None,
    eraser: Annotated[
        str | None, typer.Option("--eraser", metavar="ROLE", help="A role that may also delete keys (seller_key).")
    ] = None,
) -> None:
    """Create the ledger's tables, or upgrade them to this release; give the roles of servers their rights.

    Safe to run twice, and concurrently. On PostgreSQL the tables' owner runs it, and names the roles, which must exist,
    at each upgrade.
    """
    from service.ledger.database.rights import grant
    from service.ledger.database.schema import upgrade

    if eraser and not role:
        raise invalid("--eraser", "belongs to --role: name the servers' role too")
    settings = load()
    prepare_database(settings, create=True)
    upgrade(settings.database_url)
    say("the ledger's database is up to date")
    if role:
        grant(settings.database_url, role, eraser)
        say(f"{role} may read the ledger and append to it, and do nothing else")
    if eraser:
        say(f"{eraser} may delete keys besides")


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

    FILE must not exist. Any database can restore it. Check a backup with verify FILE. A backup keeps keys that
    the ledger erases later. Delete backups in time, or keep keys elsewhere (--without-keys). Models, the policy and the
    signing key of checkpoints are separate files.
    """
    from service.ledger.clock.server_clock import wall_clock
    from service.ledger.seals.backup import write_backup

    with _open_database(create=False) as database, StepProgress() as progress:
        manifest = write_backup(database, file, progress, now=wall_clock(), without_keys=without_keys)
    emit_one(_describe_backup(file, manifest), output)


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
    from service.ledger.seals.backup import restore_backup

    with _open_database(create=True) as database, StepProgress() as progress:
        manifest = restore_backup(database, file, progress)
    show_backup(file, manifest, output)


def show_backup(file: Path, manifest: Any, output: Format) -> None:
    emit_one(_describe_backup(file, manifest), output)
    if manifest.left_out:
        say(
            "warning: this backup holds no keys, so sealed texts (reasons, where evidence is kept) cannot be read in what is"
            " restored from it; all that counts is there, and verify ledger names what is missing"
        )


def _describe_backup(file: Path, manifest: Any) -> dict[str, Any]:
    return {
        "file": str(file),
        "made": manifest.made,
        "schema": manifest.schema_version,
        "sequence": manifest.sequence,
        "chain": manifest.chain,
        **{name: table.rows for name, table in manifest.tables.items()},
        "left_out": manifest.left_out,
    }


def checkpoint_command(
    file: NewFile,
    output: Output = Format.TABLE,
) -> None:
    """Append a signed checkpoint of the ledger to a file.

    It can prove any later change of what is recorded by now. Keep the file where the database's owner cannot write.
    The key that signs it, checkpoint-key.pem in the data folder, is made if it is absent.
    """
    from service.ledger.clock.server_clock import wall_clock
    from service.ledger.seals.checkpoints import load_or_make_key, write_checkpoint

    settings = load()
    with open_ledger(settings) as ledger:
        sequence, chain = ledger.seals.last()
    signer = load_or_make_key(settings.data_dir / "checkpoint-key.pem")
    emit_one(write_checkpoint(file, signer, sequence, chain, format_time(wall_clock())), output)


def erase_command(
    seller: Seller,
    actor: Actor,
    ground: Ground = "",
    entry_id: EntryId = None,
    server: Server = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Erase the sealed texts of a seller (reasons, where evidence is kept).

    Facts that count remain, and still verify. On PostgreSQL this needs a role that may delete keys. Backups keep their
    keys. Texts about a product remain: they must not name a seller. Attributes of an
    identity, such as a licence number or a shop name, are not erased either.
    """
    name = entry_id or uuid.uuid4().hex
    if server is not None:
        with open_client(marketplace, server) as (connection, market):
            sequence = connection.erase_seller(market, seller, actor=actor, ground=ground, entry_id=name).sequence
    else:
        settings = load()
        with open_ledger(settings) as ledger:
            market = marketplace or settings.marketplace
            sequence = ledger.erase(market, seller, actor=actor, ground=ground, entry_id=name).sequence
    emit_one({"seller": seller, "entry_id": name, "sequence": sequence}, output)


def mend_clock_command(
    actor: Actor,
    reason: Reason,
    first: Annotated[
        int, typer.Option("--first", min=0, metavar="SEQUENCE", help="The first entry whose record time ran ahead.")
    ] = 0,
    ahead: Annotated[str, typer.Option("--ahead", help="By how much, in seconds, such as 315532800 or 3600.5.")] = "",
    rested: Annotated[
        bool, typer.Option("--rested", help="None did: the clock is right, and the ledger rested for over a year.")
    ] = False,
    entry_id: EntryId = None,
    server: Server = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Correct record times that ran ahead because a server's clock was ahead.

    All entries from the first wrong one on are ahead, in every marketplace, since record times never go back. From now
    on they show corrected times, and record times follow the clock again; earlier answers can still be reproduced. The
    correction is recorded as an entry and cannot be undone. Find the first wrong entry with ledger list. State in the
    reason which clock was wrong, and how.
    """
    if rested == bool(first or ahead) or bool(first) != bool(ahead):
        raise invalid("--first", "belongs to --ahead: state both, or --rested alone")
    try:
        micros = round(Decimal(ahead or "0") * SECOND)
    except ArithmeticError:
        raise invalid("--ahead", "must be a number of seconds, such as 3600 or 0.25") from None
    if ahead and micros <= 0:
        raise invalid("--ahead", "must be more than 0 seconds: record times that lag behind put right themselves")
    name = entry_id or uuid.uuid4().hex
    if server is not None:
        with open_client(marketplace, server) as (connection, market):
            answer = connection.mend_clock(
                market,
                actor=actor,
                reason=reason,
                first_sequence=first,
                ahead_micros=micros,
                entry_id=name,
            )
        sequence, record_time = answer.sequence, answer.record_time.ToMicroseconds()
    else:
        settings = load()
        with open_ledger(settings) as ledger:
            market = marketplace or settings.marketplace
            mended = ledger.mend_clock(
                market, actor=actor, reason=reason, first_sequence=first, ahead=micros, entry_id=name
            )
        sequence, record_time = mended.sequence, mended.record_time
    emit_one({"entry_id": name, "sequence": sequence, "record_time": format_time(record_time)}, output)
