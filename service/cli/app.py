import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from scoring.base.errors import LedgerUnavailable, SellertrustError
from sellertrust.version import VERSION
from service.cli.lazy import LazyGroup
from service.cli.output import EXIT_CODES, INTERRUPTED, NEXT_OF, Exit, ResumeHintShown, exit_code, missing_package, say

if TYPE_CHECKING:
    from sellertrust.errors import SellertrustCallError


def demo(
    serves: Annotated[
        bool, typer.Option("--serve", help="Serve the demo's data and its page of badges until Ctrl-C.")
    ] = False,
) -> None:
    """Make a marketplace from nothing, train its model, and show what becomes of five of its sellers.

    Its data goes into the folder demo of SELLERTRUST_DATA_DIR; an earlier demo there is kept. Its clock starts on 30
    June 2026 whenever its ledger is opened, so its answers are the same on any day.
    """
    from service.cli.demo import run, serve

    if serves:
        serve()
    else:
        run()


app = typer.Typer(
    name="sellertrust",
    cls=LazyGroup,
    help="Trust scores of marketplace sellers, each traced to a ledger of violations.",
    epilog="Exit codes: " + "; ".join(f"{code} {words}" for code, (words, _) in EXIT_CODES.items()) + ".",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"sellertrust {VERSION}\n")
        raise typer.Exit


@app.callback(help="Trust scores of marketplace sellers, each traced to a ledger of violations.")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Accept the options that precede any command; `--version` prints the version."""


def run() -> int:
    """Run the command line on this process's arguments; return the exit code.

    An error becomes a message and a remedy on stderr, with a stack trace only at log level debug. Success and help
    raise SystemExit.
    """
    try:
        app(prog_name="sellertrust", standalone_mode=True)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # the process ends already; a second exit would change its code
        if end.code == INTERRUPTED and not isinstance(end, ResumeHintShown):
            say("interrupted; what was acknowledged is kept, and the same command goes on from there")
        raise
    except Exception as error:
        code, problem, remedy = _explain_error(error)
        if code is Exit.UNFORESEEN and os.environ.get("SELLERTRUST_LOG_LEVEL", "").lower() == "debug":
            raise
        say(f"error: {problem}")
        if remedy:
            say(f"next:  {remedy}")
        return code
    return Exit.OK


def _explain_error(error: Exception) -> tuple[Exit, str, str]:
    from sellertrust.errors import SellertrustCallError

    if isinstance(error, SellertrustCallError):
        notes: list[str] = getattr(error, "__notes__", [])  # the remedy, if the command line knows one
        code, problem = exit_code(error), _describe_call(error)
        general = "look what is wrong: sellertrust doctor" if code is Exit.UNAVAILABLE else ""
        return code, problem, " ".join(notes) or _find_next_command(error.reason, problem) or general
    if isinstance(error, LedgerUnavailable):
        from service.cli.troubles import explain_ledger_error

        return explain_ledger_error(error)
    if isinstance(error, SellertrustError):
        return exit_code(error), error.message, _find_next_command(error.reason, error.message)
    if isinstance(error, ModuleNotFoundError):
        return Exit.CONFIGURATION, missing_package(error), ""
    if isinstance(error, OSError):
        return _explain_os_error(error)
    remedy = "please report it with what the same command shows under SELLERTRUST_LOG_LEVEL=debug"
    return Exit.UNFORESEEN, f"unforeseen: {error} ({type(error).__name__})", remedy


def _explain_os_error(error: OSError) -> tuple[Exit, str, str]:
    if "libgomp" in str(error):
        remedy = "install it: apt-get install libgomp1"
        return Exit.CONFIGURATION, "libgomp.so.1 is missing, which LightGBM needs", remedy
    problem = f"{error.filename or 'the system'}: {(error.strerror or str(error)).lower()}"
    is_wrong_name = isinstance(error, FileNotFoundError | IsADirectoryError)
    return Exit.USAGE if is_wrong_name else Exit.CONFIGURATION, problem, ""


def _describe_call(error: "SellertrustCallError") -> str:
    reason = f" ({error.reason})" if error.reason else ""
    first, *lines = str(error).removeprefix(f"{error.code.name}{error.reason and ' ' + error.reason}: ").split("\n")
    return "\n".join([first + reason, *lines])


def _find_next_command(reason: str, problem: str) -> str:
    return "" if "sellertrust " in problem else NEXT_OF.get(reason, "")
