import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from scoring.base.canonical import parse_json
from scoring.base.errors import ConfigurationWrong, invalid
from scoring.entries.kinds.table import BY_COMMAND
from service.access.grants import Grants, load_grants
from service.access.principals import FORMS, is_principal
from service.access.rights import BOUND, METHODS, RIGHT_OF_KIND, Right, Scope
from service.cli.common import open_client
from service.cli.options import OneMarketplace
from service.cli.output import Format, Output, emit, say, write
from service.cli.rows import row_of
from service.settings import load


def access(
    principal: Annotated[
        str | None,
        typer.Option(
            "--principal", metavar="NAME", help="Show also which grants of the file give each right to this caller."
        ),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="List the audit file of a server instead, the oldest call first.")
    ] = False,
    marketplace: OneMarketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show who may do what, or who did what.

    The first is the right that each method needs. Some rights also need a client certificate. Kinds of entries with
    different rights have separate rows. With --audit, a server's audit file states which right let in each caller, and
    the outcome. As JSON, each line is as in the file. --marketplace belongs to --audit.
    """
    if audit:
        if principal is not None:
            raise invalid("--principal", "does not belong to --audit; leave out one of them")
        _list_audit(marketplace or "", output)
        return
    if marketplace is not None:
        raise invalid("--marketplace", "belongs to --audit; add it, or leave out --marketplace")
    if principal is not None and not is_principal(principal):
        raise invalid("--principal", f"{principal!r} is no principal: it must be {FORMS}, or local")
    emit([*_list_methods(principal)], output)
    key = load().pseudonym_key
    if principal is not None and key.exists():
        from service.api.telemetry.logs import Pseudonyms, load_or_make_key, log_name

        say(f"in the log it is {log_name(principal, Pseudonyms(load_or_make_key(key)))}")


def _list_methods(principal: str | None) -> Iterator[dict[str, Any]]:
    grants = () if principal is None else _load_grants().grants
    kinds_of: dict[Right, list[str]] = {right: [] for right in RIGHT_OF_KIND.values()}
    for kind, right in RIGHT_OF_KIND.items():
        kinds_of[right] += [] if kind in BY_COMMAND else [kind.word]
    for method, row in METHODS.items():
        rights = {right: kinds for right, kinds in kinds_of.items() if kinds}
        for right, kinds in rights.items() if row.scope is Scope.ENTRIES else [(row.right, [])]:
            method_row: dict[str, Any] = {"method": method, "right": right.value}
            if principal is not None:
                giving = [n for n, grant in enumerate(grants) if right in grant.rights and grant.applies_to(principal)]
                method_row["grants"] = ", ".join(f"grants[{number}]" for number in giving)
            yield method_row | {"certificate": right in BOUND, "over": row.scope.value, "kinds": ", ".join(kinds)}


def _list_audit(marketplace: str, output: Format) -> None:
    with open_client() as (connection, _):
        rows = []
        for record in connection.list_audit_records(marketplace):
            if output is Format.JSON:
                write(record.line + "\n")
                continue
            row = row_of(record, "time=write_time event caller method about=code hash call")
            if record.event == "call":
                row["about"] = json.dumps(parse_json(record.line).get("acted", {}))
            rows.append(row | {"hash": record.hash[:12], "call": record.call[:12]})
    if output is Format.TABLE:
        emit(rows, output)


def _load_grants() -> Grants:
    path = load().grants
    if path is None:
        raise ConfigurationWrong("no grants file is named: set SELLERTRUST_GRANTS to it")
    return load_grants(path)
