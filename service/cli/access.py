"""`sellertrust access show | check`: which right each method needs, and what a grants file gives."""

from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.errors import ConfigurationWrong
from service.access.audit import verify_audit
from service.access.decision import Grant
from service.access.grants import Grants, load_grants
from service.access.rights import BOUND, METHODS
from service.cli.output import Format, Output, emit, say
from service.settings import load

app = typer.Typer(help="Who may do what.", no_args_is_help=True)


@app.command("show")
def show(
    principal: Annotated[
        str | None,
        typer.Option(
            "--principal", metavar="NAME", help="Show besides which grants of the file give it to this caller."
        ),
    ] = None,
    grants: Annotated[
        Path | None, typer.Option("--grants", metavar="FILE", help="The grants file; default: SELLERTRUST_GRANTS.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the right that each method needs, and whether it asks for a certificate."""
    found = None if principal is None else _grants(grants)
    rows = []
    for method, row in METHODS.items():
        shown: dict[str, Any] = {
            "method": method,
            "right": row.right.value,
            "certificate": row.right in BOUND,
            "over": row.scope.value,
        }
        if found is not None:
            numbers = [
                number
                for number, grant in enumerate(found.grants)
                if row.right in grant.rights and grant.names(principal or "")
            ]
            shown["grants"] = ", ".join(f"grants[{number}]" for number in numbers)
        rows.append(shown)
    emit(rows, output)


@app.command("check")
def check(
    grants: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The grants file; default: SELLERTRUST_GRANTS.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Check a grants file as a server would, tell every error in it, and show what it grants."""
    found = _grants(grants)
    emit([_grant_row(number, grant) for number, grant in enumerate(found.grants)], output)
    say(f"the file is sound: {len(found.grants)} grants, {len(found.issuers)} issuers of tokens")


@app.command("verify-audit")
def verify_audit_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The audit file (SELLERTRUST_AUDIT_FILE).")],
    output: Output = Format.TABLE,
) -> None:
    """Check that no line of an audit file was changed or left out, and show its last hash, to be kept elsewhere."""
    try:
        lines, last = verify_audit(file)
    except ValueError as error:
        raise ConfigurationWrong(f"{file}: {error}") from None
    emit([{"lines": lines, "hash": last}], output)


def _grants(path: Path | None) -> Grants:
    chosen = path or load().grants
    if chosen is None:
        raise ConfigurationWrong("no grants file is named: give one, or set SELLERTRUST_GRANTS")
    return load_grants(chosen)


def _grant_row(number: int, grant: Grant) -> dict[str, str]:
    limits = {
        "sellers": grant.sellers - {"*"},
        "kinds": grant.kinds,
        "sources": grant.sources,
        "notifiers": grant.notifiers,
        "entry_ids": grant.entry_ids,
        "actions": grant.actions,
    }
    return {
        "grant": f"grants[{number}]",
        "principals": ", ".join(pattern.text for pattern in grant.principals),
        "rights": ", ".join(sorted(right.value for right in grant.rights)),
        "marketplaces": ", ".join(sorted(grant.marketplaces)),
        "limits": "; ".join(f"{name} {', '.join(sorted(values))}" for name, values in limits.items() if values),
    }
