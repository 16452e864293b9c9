import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoring.base.errors import InvalidInput, LedgerUnavailable, SellertrustError
from sellertrust.version import VERSION
from service.cli.lazy import LazyGroup
from service.cli.output import EXIT_CODES, INTERRUPTED, Exit, ResumeHintShown, exit_code, missing_package, say

if TYPE_CHECKING:
    from sellertrust.errors import SellertrustCallError


def demo(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where its data goes; an earlier demo there is kept.")
    ] = None,
    serves: Annotated[
        bool, typer.Option("--serve", help="Serve the demo's data and its page of badges until Ctrl-C.")
    ] = False,
) -> None:
    """Make a marketplace from nothing, train its model, and show what becomes of five of its sellers.

    The clock of the demo's ledger starts on 30 June 2026 whenever it is opened, so its answers are the same on any day.
    """
    from service.cli.demo import run, serve

    if serves:
        serve(folder)
    else:
        run(folder)


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


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"sellertrust {VERSION}\n")
        raise typer.Exit


@app.callback(help="Trust scores of marketplace sellers, each traced to a ledger of violations.")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Accept the options that precede any command; `--version` prints the version."""


def run() -> int:
    """Run the command line on this process's arguments; return the exit code.

    An error becomes a message and a remedy on stderr, with a stack trace only at log level debug. Help, and a command
    that ends by itself, raise SystemExit.
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
        code, problem, remedy = _explain(error)
        if code is Exit.UNFORESEEN and os.environ.get("SELLERTRUST_LOG_LEVEL", "").lower() == "debug":
            raise
        say(f"error: {problem}")
        if remedy:
            say(f"next:  {remedy}")
        return code
    return Exit.OK


def _explain(error: Exception) -> tuple[Exit, str, str]:
    from sellertrust.errors import SellertrustCallError

    if isinstance(error, SellertrustCallError):
        notes: list[str] = getattr(error, "__notes__", [])  # the remedy, if the command line knows one
        code, problem = exit_code(error), _malformed_id(error.fields) or _describe_call(error)
        general = "look what is wrong: sellertrust doctor" if code is Exit.UNAVAILABLE else ""
        return code, problem, " ".join(notes) or _next_command(error.reason, problem) or general
    if isinstance(error, LedgerUnavailable):
        from service.cli.troubles import explain_ledger_error

        return explain_ledger_error(error)
    if isinstance(error, SellertrustError):
        wrong = error.violations if isinstance(error, InvalidInput) else ()
        problem = _malformed_id([(one.field, one.description) for one in wrong]) or error.message
        return exit_code(error), problem, _next_command(error.reason, problem)
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


def _next_command(reason: str, problem: str) -> str:
    """Return the next command by an error's reason; "" if its text names a command already."""
    return "" if "sellertrust " in problem else _NEXT_OF.get(reason, "")


def _malformed_id(fields: Sequence[tuple[str, str]]) -> str:
    """Return the message for a malformed id, which the contract knows as part of a name; else "".

    `fields`: (path, description) of each wrong field.
    """
    path, description = fields[0] if fields else ("", "")
    found = _NAME.search(description)
    if found is None or path.partition("[")[0] not in _NAMED_BY_ID:
        return ""
    kinds = " or ".join(dict.fromkeys(re.findall(r"{(\w+)}", found["form"])))
    return f"the id of the {kinds} is malformed: an id is {found['ids']}"


_NAMED_BY_ID = {"name", "parent", "seller", "sellers", "first", "second"}

_NAME = re.compile(r"^must be (?P<form>(?:marketplaces|models|policies|proposals)/.*), each id (?P<ids>.*)$")

_NEXT_OF = {
    "SELLER_NOT_FOUND": "list what a marketplace has: sellertrust ledger list --marketplace NAME",
    "VIOLATION_NOT_FOUND": "list the violations: sellertrust violation list",
    "ENTRY_NOT_FOUND": "list the entries: sellertrust ledger list",
    "NOTIFIER_NOT_FOUND": "list the notifiers: sellertrust notifier",
    "CASE_NOT_FOUND": "list the open cases: sellertrust case list",
    "PROPOSAL_NOT_FOUND": "list the proposals: sellertrust proposal show",
    "MODEL_NOT_FOUND": "list the models: sellertrust model list",
    "POLICY_NOT_FOUND": "list the policies that were served: sellertrust policy show --history",
    "POLICY_MOVED": "look at the policy that is served: sellertrust policy show",
    "APPROVAL_REQUIRED": "propose it: the same command with --propose",
    "LEDGER_UNAVAILABLE": "the server answers, its database does not; look where the server runs: sellertrust doctor",
    "CALLER_UNAUTHENTICATED": "set SELLERTRUST_TARGET_CREDENTIALS to a folder with tls.crt and tls.key, or a token",
    "CALLER_NOT_GRANTED": "see what the server's grants file gives to a caller: sellertrust access --principal NAME",
    "TOO_MANY_CALLS": "wait and send it again; what one caller may do is in the server's grants file, under [[limits]]",
    "AUDIT_UNAVAILABLE": "ask the server's operator to make audit.jsonl in its data folder writable, and send it again",
    "OCCUR_TIME_AHEAD": "send it again in some seconds; the clock behind the stated time runs fast",
}
