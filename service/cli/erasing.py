import uuid

import typer

from service.bootstrap import open_ledger
from service.cli.common import client
from service.cli.options import Actor, EntryId, Ground, Marketplace, Seller, Server
from service.cli.output import Format, Output, emit_one
from service.settings import load

app = typer.Typer()


@app.command("erase")
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
        with client(marketplace, server) as (connection, where):
            sequence = connection.erase_seller(where, seller, actor=actor, ground=ground, entry_id=name).sequence
    else:
        settings = load()
        with open_ledger(settings) as ledger:
            where = marketplace or settings.marketplace
            sequence = ledger.erase(where, seller, actor=actor, ground=ground, entry_id=name).sequence
    emit_one({"seller": seller, "entry_id": name, "sequence": sequence}, output)
