from typing import Annotated

import typer

from service.cli.output import Format, Output, emit_one


def task(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="File or URL, as rescore --plan shows it.")],
    line: Annotated[int, typer.Argument(metavar="LINE", min=1, help="Number of the task, from 1 on.")],
    output: Output = Format.TABLE,
) -> None:
    """Run one task of a rescoring: score the sellers of its files, and commit them by a receipt.

    Repeating it changes nothing. It needs neither the ledger nor the settings.
    """
    from service.scale.manifest import MANIFEST
    from service.scale.task import run_task

    emit_one(run_task(manifest.removesuffix(f"/{MANIFEST}"), line)._asdict(), output)
