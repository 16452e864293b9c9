from typing import Annotated

import typer

from scoring.base.errors import invalid
from service.bootstrap import prepare_database, run_server
from service.cli.common import write_address
from service.cli.options import ReadyFile
from service.cli.output import say
from service.settings import load

app = typer.Typer()
ledger = typer.Typer()


@app.command("serve")
def serve(
    ready_file: ReadyFile = None,
    starter: Annotated[
        bool, typer.Option("--starter", help="Begin an empty registry with a model of a simulated market.")
    ] = False,
) -> None:
    """Serve the contract over gRPC until SIGTERM or SIGINT; then drain and stop."""
    from service.registry.lean_lightgbm import leave_out_optional

    leave_out_optional()
    raise typer.Exit(run_server(load(), lambda server: write_address(ready_file, server.address), starter=starter))


@ledger.command("upgrade")
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
