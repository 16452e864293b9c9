import uuid
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from scoring.base.enums import Severity as SeverityWord
from scoring.base.enums import Status
from scoring.base.errors import invalid
from scoring.base.money import format_amount
from sellertrust.client import Client, Decision
from sellertrust.errors import SellertrustCallError
from sellertrust.review import decide_request
from sellertrust.v1.entry_pb2 import Action, Severity, ViolationStatus
from sellertrust.v1.measure_service_pb2 import GetRestitutionResponse
from sellertrust.v1.review_service_pb2 import DecideViolationsResponse
from service.cli.common import find_entries, open_client, parse_option
from service.cli.connecting import describe_empty_marketplace
from service.cli.options import (
    Actor,
    EntryId,
    Ground,
    KnownTime,
    Limit,
    Marketplace,
    ObserveTime,
    OfNotifier,
    OfSeller,
    OfStatus,
    Propose,
    Reason,
    Violation,
    time_option,
)
from service.cli.output import (
    Column,
    Exit,
    Format,
    Output,
    cut_to_limit,
    emit,
    emit_one,
    exit_code,
    format_count,
    say,
    write,
)
from service.cli.proposals import propose
from service.cli.rows import dict_of, row_of


def _show_restitution(response: GetRestitutionResponse, output: Format) -> None:
    if output is Format.JSON:
        emit_one(dict_of(response), output)
        return
    status = row_of(response, "status")["status"]
    write(f"{response.violation}: {status}; {format_count(len(response.items), 'measure')} stood on it\n")
    if not response.items:
        return
    fields = "measure=kind rule from=begin_time to=end_time days held=held_minor other_violations"
    rows = [row_of(item, fields) for item in response.items]
    for row in rows:
        row |= {name: row[name] and row[name][:16] + "Z" for name in ("from", "to")}
        row["held"] = format_amount(row["held"], response.currency) if row["held"] else None
        row["rule"] = row["rule"] or "(a person)"
    emit(rows, output)
    if response.captured_minor:
        write(f"captured meanwhile: {format_amount(response.captured_minor, response.currency)}\n")


class DecisionOutcome(StrEnum):
    REVIEW = "review"
    CONFIRM = "confirm"
    DISMISS = "dismiss"
    WITHDRAW = "withdraw"
    APPEAL = "appeal"
    REDUCE = "reduce"
    OVERTURN = "overturn"
    REINSTATE = "reinstate"


OutcomeArgument = Annotated[DecisionOutcome, typer.Argument(metavar="OUTCOME", help="What is decided.")]


FIELDS = (
    "violation=name seller status violation_type category severity harm source notifier incident occur_time report_time"
    " record_time entries allowed_actions"
)
COLUMNS = (
    *(Column("violation"), Column("seller"), Column("status"), Column("type", ("violation_type",)), Column("severity")),
    Column("occurred", ("occur_time",), lambda time: time[:10]),
)
QUEUE_FIELDS = (
    "violation=violation.name seller=violation.seller status=violation.status violation_type=violation.violation_type"
    " severity=violation.severity source=violation.source notifier=violation.notifier priority safety_first"
    " probability_upheld harm_weight recent_orders held_back decide_by=decide_by_time"
)
QUEUE_COLUMNS = (
    *(COLUMNS[0], COLUMNS[1], COLUMNS[3], COLUMNS[4], Column("priority")),
    Column("decide by", ("decide_by",), lambda time: time[:10]),
)


def show(
    violation: Violation,
    restitution: Annotated[
        bool,
        typer.Option(
            "--restitution",
            help="Show instead which recorded measures stood on a violation that was taken back, for how long, and what"
            " they held.",
        ),
    ] = False,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show one violation, and the possible decisions."""
    with open_client(marketplace) as (connection, market):
        shown_violation = connection.get_violation(market, violation, known_time=known_time)
        seller = shown_violation.seller.rsplit("/", 1)[-1]
        if restitution:
            _show_restitution(connection.get_restitution(market, seller, violation), output)
            return
        # Reports of a product have no seller, whose entries could be searched.
        entries = find_entries(connection, market, seller, shown_violation.entries) if seller else {}
    row = row_of(shown_violation, FIELDS)
    its_entries = [entries[name] for name in shown_violation.entries if name in entries]
    for entry in its_entries:
        if entry.HasField("violation"):
            row = dict_of(entry.violation) | row
    changes = [
        {"entry": entry.entry_id, "record_time": entry.record_time.ToJsonString()}
        | dict_of(entry.status)
        | {name: word for name, word in row_of(entry.status, "action severity").items() if word}
        for entry in its_entries
        if entry.HasField("status")
    ]
    row["decisions"] = changes if output is Format.JSON else [_describe_decision(change) for change in changes]
    emit_one(row, output)


def _describe_decision(change: dict[str, Any]) -> str:
    more = "".join(f", {name} {change[name]}" for name in ("severity", "units", "ground") if name in change)
    return f"{change['record_time']} {change['action']} by {change['actor']}: {change.get('reason', 'erased')}{more}"


def list_violations(
    seller: OfSeller = None,
    status: OfStatus = None,
    notifier: OfNotifier = "",
    limit: Limit = 100,
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """List violations in the order of their report."""
    statuses = [_parse_status(text) for text in status or ()]
    with open_client(marketplace) as (connection, market):
        violations = connection.list_violations(
            market,
            seller=seller,
            statuses=statuses,
            notifier=notifier,
            page_size=min(limit + 1, 1000),
            observe_time=observe_time,
            known_time=known_time,
        )
        rows = [row_of(violation, FIELDS) for violation in cut_to_limit(limit, violations)]
    emit(rows, output, COLUMNS)


def queue(
    limit: Limit = 20,
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """List the open violations in the order in which a decision is worth most.

    Safety comes first, then the harm expected without a decision. It also counts cases of cautions and complaints.
    """
    with open_client(marketplace) as (connection, market):
        items = connection.list_review_queue(
            market, page_size=min(limit + 1, 1000), observe_time=observe_time, known_time=known_time
        )
        rows = [row_of(item, QUEUE_FIELDS) for item in cut_to_limit(limit, items)]
        cases = connection.list_cases(market)
        remedy = "" if rows else describe_empty_marketplace(connection, f"marketplaces/{market}")
    for row in rows:
        row |= {"priority": round(row["priority"], 1), "probability_upheld": round(row["probability_upheld"], 3)}
    emit(rows, output, QUEUE_COLUMNS)
    if remedy:
        say(f"next:  {remedy}")
    if cases.open_cases:
        number = format_count(cases.open_cases, "case")
        say(f"{number} of cautions to be decided, {cases.overdue_cases:,} overdue: sellertrust case list")
    if cases.complaints:
        number = format_count(len(cases.complaints), "complaint")
        say(f"{number} to be decided (at most 1,000 are counted): sellertrust ledger append complaint_decision")


def decide(
    violation: Violation,
    outcome: OutcomeArgument,
    actor: Actor,
    reason: Reason,
    ground: Ground = "",
    units: Annotated[
        int, typer.Option("--units", min=0, help="Number of distinct units adjudicated, to confirm or reinstate.")
    ] = 0,
    severity: Annotated[str | None, typer.Option("--severity", help="The severity that remains, to reduce.")] = None,
    entry_id: EntryId = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Decide about a violation.

    review: take it up, also again after a dismissal.

    confirm: it counts from then on.

    dismiss: it is untrue or unproven.

    withdraw: its notifier takes it back.

    appeal: the seller contests it. It counts until it is overturned.

    reduce: confirm it with a lower severity, which --severity names.

    overturn: no score keeps a trace of it.

    reinstate: confirm a dismissed or overturned violation again, by the legal order in --ground.
    """
    decision: Decision = {"actor": actor, "reason": reason, "ground": ground, "entry_id": entry_id}
    if units:
        if outcome not in (DecisionOutcome.CONFIRM, DecisionOutcome.REINSTATE):
            raise invalid("--units", "are adjudicated by confirm or reinstate only")
        decision["units"] = units
    if (severity is not None) != (outcome is DecisionOutcome.REDUCE):
        raise invalid("--severity", "is required to reduce, and belongs to nothing else")
    if severity is not None:
        decision["severity"] = Severity.ValueType(parse_option("--severity", SeverityWord, severity))
    with open_client(marketplace) as (connection, market):
        changed = connection.decide_violation(outcome, market, violation, **decision)
    emit_one(row_of(changed.violation, FIELDS) | {"sequence": changed.sequence}, output)


def decide_all(
    outcome: OutcomeArgument,
    actor: Actor,
    reason: Reason,
    ground: Ground = "",
    violation_type: Annotated[list[str] | None, typer.Option("--type", help="Only of these types.")] = None,
    notifier: OfNotifier = "",
    seller: OfSeller = None,
    status: OfStatus = None,
    listing: Annotated[str, typer.Option("--listing", help="Only about this listing.")] = "",
    right: Annotated[str, typer.Option("--right", help="Only about this right.")] = "",
    reported_from: Annotated[datetime | None, time_option("--reported-from", "Only reported at or after then.")] = None,
    reported_before: Annotated[datetime | None, time_option("--reported-before", "Only reported before then.")] = None,
    execute: Annotated[
        str,
        typer.Option("--execute", metavar="COUNT:ETAG", help="Decide what a dry run showed, by its count and etag."),
    ] = "",
    decision_id: Annotated[
        str | None, typer.Option("--decision-id", help="Names this decision, so that the same command goes on.")
    ] = None,
    proposes: Propose = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Decide all violations that the conditions select, except a random sample of 5 %.

    A person decides the sample, and each appeal, reduce and reinstate. The first call is a dry run, and shows the value
    for --execute.
    """
    options = _parse_execute(execute, proposes=proposes) | {
        "actor": actor,
        "reason": reason,
        "ground": ground,
        "decision_id": decision_id or uuid.uuid4().hex,
        "violation_types": violation_type or (),
        "notifier": notifier,
        "seller": seller or "",
        "statuses": [_parse_status(text) for text in status or ()],
        "listing": listing,
        "right": right,
        "reported_from": reported_from,
        "reported_before": reported_before,
    }
    action = Action.Value(f"ACTION_{outcome.name}")
    with open_client(marketplace) as (connection, market):
        if proposes:
            propose(connection, decide_request(market, action, **options), actor=actor, reason=reason, output=output)
        else:
            _show_bulk_decision(_decide_until_done(connection, market, action, options), options, output)


def _parse_execute(execute: str, *, proposes: bool) -> dict[str, Any]:
    count, _, etag = execute.partition(":")
    if execute and not (count.isdecimal() and etag):
        raise invalid("--execute", "needs COUNT:ETAG, which the dry run (without --execute) shows")
    if proposes and not execute:
        raise invalid("--execute", "is required to propose: a dry run needs no approval")
    return {"execute": bool(execute), "expected_count": int(count or 0), "etag": etag}


def _show_bulk_decision(response: DecideViolationsResponse, options: dict[str, Any], output: Format) -> None:
    statuses = {row_of(status, "status")["status"]: status.count for status in response.statuses}
    row = row_of(response, "count decided remaining held_back examples reached changed etag")
    emit_one({"decision_id": options["decision_id"]} | row | statuses, output)
    if not response.count:
        say("nothing is selected: no violation that allows the action fits all conditions")
    elif not options["execute"]:
        say(f"nothing was decided; to decide, repeat the command with --execute {response.count}:{response.etag}")


def _decide_until_done(
    connection: Client, marketplace: str, action: "Action.ValueType", options: dict[str, Any]
) -> DecideViolationsResponse:
    execute, name = options["execute"], options["decision_id"]
    try:
        while (response := connection.decide_violations(marketplace, action, **options)).remaining and execute:
            say(f"{response.decided:,} of {response.count:,} decided")
    except (SellertrustCallError, KeyboardInterrupt) as error:
        may_go_on = isinstance(error, KeyboardInterrupt) or exit_code(error) in (Exit.UNAVAILABLE, Exit.UNFORESEEN)
        if execute and may_go_on:
            say(f"this may have stopped half-way: the same command with --decision-id {name} goes on")
        raise
    return response


def _parse_status(text: str) -> ViolationStatus.ValueType:
    return ViolationStatus.ValueType(parse_option("--status", Status, text))
