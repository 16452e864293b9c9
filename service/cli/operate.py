from typing import Annotated

import typer

from service.bootstrap import run_server
from service.cli.common import write_address
from service.cli.options import ReadyFile
from service.settings import load


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
