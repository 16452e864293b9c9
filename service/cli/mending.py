import uuid
from decimal import Decimal
from typing import Annotated

import typer

from scoring.base.errors import invalid
from scoring.base.time import SECOND, format_time
from service.bootstrap import open_ledger
from service.cli.common import client
from service.cli.options import Actor, EntryId, Marketplace, Reason, Server
from service.cli.output import Format, Output, emit_one
from service.settings import load

app = typer.Typer()


@app.command("mend-clock")
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
        with client(marketplace, server) as (connection, where):
            answer = connection.mend_clock(
                where,
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
            where = marketplace or settings.marketplace
            done = ledger.mend_clock(
                where, actor=actor, reason=reason, first_sequence=first, ahead=micros, entry_id=name
            )
        sequence, record_time = done.sequence, done.record_time
    emit_one({"entry_id": name, "sequence": sequence, "record_time": format_time(record_time)}, output)
