"""`sellertrust access show | check`: which right each method needs, and what a grants file gives."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.canonical import parse_json
from scoring.entries.kinds.table import BY_COMMAND, KINDS
from scoring.errors import ConfigurationWrong, invalid
from sellertrust.audit import AuditClient
from sellertrust.v1.audit_service_pb2 import AuditRecord
from service.access.audit_reading import verify_audit
from service.access.decision import Grant
from service.access.grants import Grants, Issuer, load_grants
from service.access.limits import Limit
from service.access.principals import FORMS, Pattern, is_principal
from service.access.rights import BOUND, METHODS, RIGHT_OF_KIND, MethodRow, Scope
from service.cli.common import client
from service.cli.output import Format, Output, emit, format_count, say, write
from service.settings import load

app = typer.Typer()

Server = Annotated[str | None, typer.Option("--server", metavar="ADDRESS", help="The server to ask.")]


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
    """Show the right that each method needs, and whether it asks for a client certificate.

    Kinds of entries have rows of their own where their rights differ. With --principal each row shows also which grants
    of the file give the right to that caller.
    """
    if principal is not None and not is_principal(principal):
        raise invalid("--principal", f"{principal!r} is no principal: it must be {FORMS}, or local")
    found = None if principal is None else _grants(grants)
    emit([_method_row(method, row, kinds, principal, found) for method, row, kinds in _methods()], output)
    key = load().pseudonym_key
    if principal is not None and key is not None:
        from service.api.logs import Pseudonyms, log_name

        say(f"in the log it is {log_name(principal, Pseudonyms(key.get_secret_value().encode()))}")


def _methods() -> Iterator[tuple[str, MethodRow, list[str]]]:
    """Yield each method and what it needs.

    Once for each right that its entries may need, with their kinds.
    """
    for method, row in METHODS.items():
        if row.scope is not Scope.ENTRIES:
            yield method, row, []
            continue
        for right in dict.fromkeys(RIGHT_OF_KIND.values()):
            kinds = [kind for kind, of_kind in RIGHT_OF_KIND.items() if of_kind is right and kind not in BY_COMMAND]
            if kinds:
                yield method, replace(row, right=right), [KINDS[kind].key for kind in kinds]


def _method_row(
    method: str, row: MethodRow, kinds: list[str], principal: str | None, found: Grants | None
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "method": method,
        "right": row.right.value,
        "certificate": row.right in BOUND,
        "over": row.scope.value,
        "kinds": ", ".join(kinds),
    }
    if found is not None:
        numbers = [
            number
            for number, grant in enumerate(found.grants)
            if row.right in grant.rights and grant.names(principal or "")
        ]
        shown["grants"] = ", ".join(f"grants[{number}]" for number in numbers)
    return shown


@app.command("check")
def check(
    grants: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The grants file; default: SELLERTRUST_GRANTS.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Check a grants file as a server would: show every error in it, or what it grants."""
    found = _grants(grants)
    rows = [_issuer_row(number, issuer) for number, issuer in enumerate(found.issuers)]
    rows += [_grant_row(number, grant) for number, grant in enumerate(found.grants)]
    rows += [_limit_row(number, limit) for number, limit in enumerate(found.limits)]
    rows += [
        _row(f"persons[{number}]", ", ".join(one.principals), [], [], {"person": [one.person]})
        for number, one in enumerate(found.persons)
    ]
    rows += [
        _row(f"four_eyes[{number}]", "", (r.value for r in one.rights), one.marketplaces, {"hours": [f"{one.hours:g}"]})
        for number, one in enumerate(found.four_eyes)
    ]
    emit(rows, output)
    parts: dict[str, Sequence[object]] = {"issuer": found.issuers, "grant": found.grants, "limit": found.limits}
    parts |= {"person": found.persons, "four_eyes table": found.four_eyes} if found.persons else {}
    say(f"the file is sound: {', '.join(format_count(len(those), name) for name, those in parts.items())}")


@app.command("list-audit")
def list_audit(
    marketplace: Annotated[
        str | None, typer.Option("--marketplace", "-m", help="Only what is about it; default: everything.")
    ] = None,
    server: Server = None,
    output: Output = Format.TABLE,
) -> None:
    """List the audit file of a server, oldest first: who was let in by which right, and what came of it.

    As JSON, each line is as it stands in the file.
    """
    with client(server) as (connection, _):
        records = AuditClient(connection).list_audit_records(marketplace or "")
        if output is Format.JSON:
            for record in records:
                write(record.line + "\n")
            return
        rows = [_record_row(record) for record in records]
    emit(rows, output)


def _record_row(record: AuditRecord) -> dict[str, Any]:
    line = parse_json(record.line)
    return {
        "time": record.write_time.ToJsonString() if record.HasField("write_time") else "",
        "event": record.event,
        "caller": record.caller,
        "method": record.method,
        "about": json.dumps(line.get("acted", {})) if record.event == "call" else record.code,
        "hash": record.hash[:12],
        "call": record.call[:12],
    }


@app.command("verify-audit")
def verify_audit_file(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The audit file; default: SELLERTRUST_AUDIT_FILE.")
    ] = None,
    server: Server = None,
    output: Output = Format.TABLE,
) -> None:
    """Check that no line of an audit file was changed or left out, and show its last hash.

    To be kept elsewhere, so that lines cut off at the end are noticed, too. With --server that server checks its own file.
    """
    if server is not None:
        with client(server) as (connection, _):
            found = AuditClient(connection).verify_audit()
        if found.problem:
            raise ConfigurationWrong(f"the audit file of {server}: {found.problem}")
        emit([{"lines": found.line_count, "hash": found.last_hash}], output)
        return
    path = file or load().audit_file
    try:
        lines, last = verify_audit(path)
    except ValueError as error:
        raise ConfigurationWrong(f"{path}: {error}") from None
    emit([{"lines": lines, "hash": last}], output)


def _grants(path: Path | None) -> Grants:
    chosen = path or load().grants
    if chosen is None:
        raise ConfigurationWrong("no grants file is named: give one, or set SELLERTRUST_GRANTS")
    return load_grants(chosen)


def _issuer_row(number: int, issuer: Issuer) -> dict[str, str]:
    believed = {"audience": [issuer.audience], "keys": [issuer.keys], "algorithms": issuer.algorithms}
    if issuer.authorities is not None:
        believed["authorities"] = [str(issuer.authorities)]
    return _row(f"issuers[{number}]", f"jwt:{issuer.issuer}#...", [], issuer.marketplaces, believed)


def _limit_row(number: int, limit: Limit) -> dict[str, str]:
    numbers = {name: getattr(limit, name) for name in ("calls_per_second", "entries_per_second", "streams")}
    limits = {"classes": limit.classes} | {name: [f"{value:g}"] for name, value in numbers.items() if value}
    return _row(f"limits[{number}]", _texts(limit.principals), [], [], limits)


def _grant_row(number: int, grant: Grant) -> dict[str, str]:
    limits = {
        "sellers": grant.sellers - {"*"},
        "kinds": grant.kinds,
        "sources": grant.sources,
        "notifiers": grant.notifiers,
        "entry_ids": grant.entry_ids,
        "actions": grant.actions,
    }
    rights = [right.value for right in grant.rights]
    return _row(f"grants[{number}]", _texts(grant.principals), rights, grant.marketplaces, limits)


def _texts(patterns: Iterable[Pattern]) -> str:
    return ", ".join(pattern.text for pattern in patterns)


def _row(
    table: str,
    principals: str,
    rights: Iterable[str],
    marketplaces: Iterable[str],
    limits: Mapping[str, Iterable[str]],
) -> dict[str, str]:
    """Return one table of the file as a row."""
    return {
        "table": table,
        "principals": principals,
        "rights": ", ".join(sorted(rights)),
        "marketplaces": ", ".join(sorted(marketplaces)),
        "limits": "; ".join(f"{name} {', '.join(sorted(values))}" for name, values in limits.items() if values),
    }
