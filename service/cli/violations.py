"""`sellertrust violation ...`: violations and the decisions about them, over gRPC."""

from typing import Annotated, Any

import typer
from google.protobuf import json_format
from google.protobuf.message import Message

from scoring.entries.violation_types import TABLES
from scoring.enums import Harm as HarmWord
from scoring.enums import Severity as SeverityWord
from scoring.enums import Status
from scoring.errors import invalid
from sellertrust.client import Decision
from sellertrust.v1.entry_pb2 import Action, Category, Harm, Severity, Source, ViolationStatus
from sellertrust.v1.ledger_service_pb2 import Violation
from service.cli.common import (
    KnownTime,
    Marketplace,
    ObserveTime,
    client,
    find_entries,
    marketplace_of,
    moment,
    parse_option,
)
from service.cli.output import Column, Format, Output, Wide, cut_to_limit, emit, emit_one

app = typer.Typer()

Id = Annotated[str, typer.Argument(metavar="VIOLATION", help="Its id: the entry_id of its report.")]
Actor = Annotated[str, typer.Option("--actor", help="Who decided: a pseudonym or a role, an id.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in 1 to 500 characters; the seller sees it.")]
Ground = Annotated[str, typer.Option("--ground", help="The legal or policy ground, such as an article.")]
Units = Annotated[int, typer.Option("--units", min=0, help="Distinct units adjudicated, to confirm or reinstate.")]
Remaining = Annotated[str | None, typer.Option("--severity", help="The severity that remains, to reduce.")]
EntryId = Annotated[str | None, typer.Option("--entry-id", help="Makes a retry of this very command safe.")]


@app.command("show")
def show(
    violation: Id, known_time: KnownTime = None, marketplace: Marketplace = None, output: Output = Format.TABLE
) -> None:
    """Show one violation, and what may be done to it."""
    known = moment(known_time, "--known-time")
    with client() as (connection, settings):
        where = marketplace_of(marketplace, settings)
        found = connection.get_violation(where, violation, known_time=known)
        seller = found.seller.rsplit("/", 1)[-1]
        # What was reported of a product belongs to no seller, whose entries could be looked through.
        entries = find_entries(connection, where, seller, found.entries) if seller else {}
    row = violation_row(found)
    its_entries = [entries[name] for name in found.entries if name in entries]
    for entry in its_entries:
        if entry.WhichOneof("fact") == "violation":
            row |= {name: value for name, value in _fact_fields(entry.violation).items() if name not in row}
    changes = [
        {"entry": entry.entry_id, "record_time": entry.record_time.ToJsonString(), **_fact_fields(entry.status)}
        for entry in its_entries
        if entry.WhichOneof("fact") == "status"
    ]
    row["decisions"] = changes if output is Format.JSON else [_decision(change) for change in changes]
    emit_one(row, output)


def _fact_fields(fact: Message) -> dict[str, Any]:
    """Return what a fact states, by field, in the words of the command line."""
    values = json_format.MessageToDict(fact, preserving_proto_field_name=True)
    for name, prefix in (("action", "ACTION_"), ("severity", "SEVERITY_")):
        if name in values:
            values[name] = values[name].removeprefix(prefix).lower()
    return values


def _decision(change: dict[str, Any]) -> str:
    more = "".join(f", {name} {change[name]}" for name in ("severity", "units", "ground") if name in change)
    return f"{change['record_time']} {change['action']} by {change['actor']}: {change.get('reason', 'erased')}{more}"


@app.command("list")
def list_violations(
    seller: Annotated[str | None, typer.Option("--seller", help="Only this seller's.")] = None,
    status: Annotated[list[str] | None, typer.Option("--status", help="Only of these statuses.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="At most so many.")] = 100,
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """List violations in the order of their report."""
    statuses = [status_of(text) for text in status or ()]
    with client() as (connection, settings):
        found = connection.list_violations(
            marketplace_of(marketplace, settings),
            seller=seller,
            statuses=statuses,
            observe_time=moment(observe_time, "--observe-time"),
            known_time=moment(known_time, "--known-time"),
            page_size=min(limit + 1, 1000),
        )
        rows = [violation_row(violation) for violation in cut_to_limit(limit, found)]
    emit(rows, output, COLUMNS, wide=wide)


COLUMNS = (
    *(Column("violation"), Column("seller"), Column("status"), Column("type", ("violation_type",)), Column("severity")),
    Column("occurred", ("occur_time",), lambda time: time[:10]),
)


@app.command("types")
def types(output: Output = Format.TABLE) -> None:
    """List the table of violation types with their severities."""
    rows = [
        {
            "violation_type": row.key,
            "category": row.category.name.lower(),
            **{harm.name.lower(): row.severities[harm - 1].name.lower() for harm in HarmWord},
            "authority_at_least": row.floor.name.lower(),
            "description": row.description,
        }
        for row in TABLES[-1][1].values()
    ]
    emit(rows, output)


_DECISIONS = {
    "review": "Take an alleged violation up for review, or one that was dismissed up again.",
    "confirm": "Confirm an alleged violation, one under review, or one whose appeal failed: from now on it counts.",
    "dismiss": "Dismiss an alleged violation or one under review, as untrue or unproven.",
    "withdraw": "Withdraw an alleged violation or one under review, on behalf of its notifier.",
    "appeal": "Appeal a confirmed or reduced violation on behalf of the seller: it counts until it is overturned.",
    "reduce": "Confirm a violation with a lower severity than it has.",
    "overturn": "Overturn a confirmed, reduced or appealed violation: no score keeps a trace of it.",
    "reinstate": "Confirm a dismissed or overturned violation again, by the legal order that --ground names.",
}


def _add_decision(action: str, text: str) -> None:
    @app.command(action, help=text)
    def decide(
        violation: Id,
        actor: Actor,
        reason: Reason,
        ground: Ground = "",
        units: Units = 0,
        severity: Remaining = None,
        entry_id: EntryId = None,
        marketplace: Marketplace = None,
        output: Output = Format.TABLE,
    ) -> None:
        stated: Decision = {"actor": actor, "reason": reason, "ground": ground, "entry_id": entry_id}
        if units:
            if action not in _COUNTS_UNITS:
                raise invalid("--units", f"are adjudicated by {' or '.join(_COUNTS_UNITS)} only")
            stated["units"] = units
        if (severity is not None) != (action == "reduce"):
            raise invalid("--severity", "is required to reduce, and belongs to nothing else")
        if severity is not None:
            stated["severity"] = _severity(severity)
        with client() as (connection, settings):
            where = marketplace_of(marketplace, settings)
            changed = connection.decide_violation(action, where, violation, **stated)
        emit_one(violation_row(changed.violation) | {"sequence": changed.sequence}, output)


_COUNTS_UNITS = ("confirm", "reinstate")
for _action, _text in _DECISIONS.items():
    _add_decision(_action, _text)


def _severity(text: str) -> Severity.ValueType:
    return Severity.ValueType(parse_option("--severity", SeverityWord, text))


def status_of(text: str) -> ViolationStatus.ValueType:
    """Parse a violation's status of the command line, in any case, with - or _.

    InvalidInput about `--status`, with the known ones, if it is none.
    """
    return ViolationStatus.ValueType(parse_option("--status", Status, text))


def violation_row(violation: Violation) -> dict[str, Any]:
    """Return one violation as a row for output, value by column; names in lower case."""
    return {
        "violation": violation.name.rsplit("/", 1)[-1],
        "seller": violation.seller.rsplit("/", 1)[-1],
        "status": ViolationStatus.Name(violation.status).removeprefix("VIOLATION_STATUS_").lower(),
        "violation_type": violation.violation_type,
        "category": Category.Name(violation.category).removeprefix("CATEGORY_").lower(),
        "severity": Severity.Name(violation.severity).removeprefix("SEVERITY_").lower(),
        "harm": Harm.Name(violation.harm).removeprefix("HARM_").lower(),
        "source": Source.Name(violation.source).removeprefix("SOURCE_").lower(),
        "notifier": violation.notifier,
        "incident": violation.incident,
        "occur_time": violation.occur_time.ToJsonString(),
        "report_time": violation.report_time.ToJsonString(),
        "record_time": violation.record_time.ToJsonString(),
        "entries": list(violation.entries),
        "allowed_actions": [Action.Name(a).removeprefix("ACTION_").lower() for a in violation.allowed_actions],
    }
