"""The command tree of `sellertrust`, and what becomes of errors."""

import sys
from typing import Annotated

import typer

from scoring.errors import SellertrustError
from scoring.version import CORE_VERSION
from sellertrust.errors import SellertrustCallError
from service.cli import ledger, models, operate, scores, violations
from service.cli.output import EXIT_CODES, Exit, exit_code, say

app = typer.Typer(
    name="sellertrust",
    help="Which sellers deserve trust: a ledger of violations and a score that can be traced to it.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
operate.register(app)
scores.register(app)
models.register(app)
app.add_typer(ledger.app, name="ledger")
app.add_typer(violations.app, name="violation")


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"sellertrust {CORE_VERSION}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Which sellers deserve trust: a ledger of violations and a score that can be traced to it."""


def run() -> int:
    """Runs the command line; the exit code. A foreseen error becomes one message, never a stack trace."""
    try:
        app(standalone_mode=True)
    except SellertrustCallError as error:
        say(f"error: {error}")
        if (hint := _NEXT.get(exit_code(error))) is not None:
            say(f"next:  {hint}")
        return exit_code(error)
    except SellertrustError as error:
        say(f"error: {error.message}")
        return exit_code(error)
    except KeyboardInterrupt:
        say("interrupted; what was acknowledged is kept, and the same command goes on from there")
        return 130
    except BrokenPipeError:  # the reader of stdout has seen enough
        return 0
    return 0


_NEXT = {
    Exit.UNAVAILABLE: "is the server running? start it: sellertrust serve; or look: sellertrust doctor",
    Exit.NOT_FOUND: "list what there is: sellertrust ledger list, sellertrust violation list",
}
