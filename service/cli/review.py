"""`sellertrust notifier ...`, `violation queue` and `violation decide-all`: what people need who decide, over gRPC."""

import uuid
from enum import StrEnum
from typing import Annotated, Any

import grpc
import typer

from scoring.errors import invalid
from sellertrust.errors import SellertrustCallError
from sellertrust.review import ReviewClient, decide_request
from sellertrust.v1.entry_pb2 import Action, Source, ViolationStatus
from sellertrust.v1.review_service_pb2 import DecideViolationsResponse, Notifier, QueueItem
from service.cli.common import KnownTime, Marketplace, ObserveTime, client, marketplace_of, moment
from service.cli.connecting import describe_empty
from service.cli.output import (
    Column,
    Exit,
    Format,
    Output,
    Wide,
    cut_to_limit,
    emit,
    emit_one,
    exit_code,
    format_count,
    say,
)
from service.cli.proposals import Propose, propose
from service.cli.violations import Actor, Reason, status_of, violation_row

app = typer.Typer()
decisions = typer.Typer()

Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="At most so many.")]


class BulkAction(StrEnum):
    """What can be done to many violations at once."""

    REVIEW = "review"
    CONFIRM = "confirm"
    DISMISS = "dismiss"
    WITHDRAW = "withdraw"
    OVERTURN = "overturn"


NOTIFIER_COLUMNS = (
    *(Column("notifier"), Column("source"), Column("reports"), Column("upheld"), Column("open")),
    Column("reliability", ("reliability", "low", "high"), "{:.2f} ({:.2f}-{:.2f})".format),
)
QUEUE_COLUMNS = (
    *(
        Column("violation"),
        Column("seller"),
        Column("type", ("violation_type",)),
        Column("severity"),
        Column("priority"),
    ),
    Column("decide by", ("decide_by",), lambda time: time[:10]),
)


@app.command("show")
def show(
    notifier: Annotated[str, typer.Argument(metavar="NOTIFIER", help="Its id.")],
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show one notifier: what became of its reports, and how reliable it is."""
    times = _times(observe_time, known_time)
    with client() as (connection, settings):
        found = ReviewClient(connection).get_notifier(marketplace_of(marketplace, settings), notifier, **times)
    emit_one(notifier_row(found), output)


@app.command("list")
def list_notifiers(
    limit: Limit = 100,
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """List notifiers in the order of their ids."""
    times = _times(observe_time, known_time)
    with client() as (connection, settings):
        found = ReviewClient(connection).list_notifiers(
            marketplace_of(marketplace, settings), page_size=min(limit + 1, 1000), **times
        )
        rows = [notifier_row(notifier) for notifier in cut_to_limit(limit, found)]
    emit(rows, output, NOTIFIER_COLUMNS, wide=wide)


@decisions.command("queue")
def queue(
    limit: Limit = 20,
    observe_time: ObserveTime = None,
    known_time: KnownTime = None,
    marketplace: Marketplace = None,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """List the open violations in the order in which a decision is worth most.

    Safety first, then by the harm to be expected while nobody decides. It also says how many cases of cautions wait.
    """
    times = _times(observe_time, known_time)
    with client() as (connection, settings):
        found = ReviewClient(connection).list_review_queue(
            marketplace_of(marketplace, settings), page_size=min(limit + 1, 1000), **times
        )
        rows = [queue_row(item) for item in cut_to_limit(limit, found)]
        cases = ReviewClient(connection).list_cases(marketplace_of(marketplace, settings))
        remedy = "" if rows else describe_empty(connection, f"marketplaces/{marketplace_of(marketplace, settings)}")
    emit(rows, output, QUEUE_COLUMNS, wide=wide)
    if remedy:
        say(f"next:  {remedy}")
    if cases.open_cases:
        number = format_count(cases.open_cases, "case")
        say(f"{number} of cautions to be decided, {cases.overdue_cases:,} overdue: sellertrust case list")


@decisions.command("decide-all")
def decide_all(
    action: Annotated[BulkAction, typer.Argument(help="What to do.")],
    actor: Actor,
    reason: Reason,
    ground: Annotated[str, typer.Option("--ground", help="The legal or policy ground, such as an article.")] = "",
    violation_type: Annotated[list[str] | None, typer.Option("--type", help="Only of these types.")] = None,
    notifier: Annotated[str, typer.Option("--notifier", help="Only those that this notifier reported.")] = "",
    seller: Annotated[str, typer.Option("--seller", help="Only this seller's.")] = "",
    status: Annotated[list[str] | None, typer.Option("--status", help="Only of these statuses.")] = None,
    listing: Annotated[str, typer.Option("--listing", help="Only about this listing.")] = "",
    right: Annotated[str, typer.Option("--right", help="Only about this right.")] = "",
    reported_from: Annotated[
        str | None, typer.Option("--reported-from", metavar="T", help="Only reported at or after then.")
    ] = None,
    reported_before: Annotated[
        str | None, typer.Option("--reported-before", metavar="T", help="Only reported before then.")
    ] = None,
    sample_fraction: Annotated[
        float,
        typer.Option("--sample-fraction", help="Share held back for a person, at least one; nobody can choose which."),
    ] = 0.05,
    execute: Annotated[bool, typer.Option("--execute", help="Decide. Without it, only show what would be.")] = False,
    expected_count: Annotated[int, typer.Option("--expected-count", help="The count that was shown.")] = 0,
    etag: Annotated[str, typer.Option("--etag", help="The etag that was shown.")] = "",
    decision_id: Annotated[
        str | None, typer.Option("--decision-id", help="Names this decision, so that the same command goes on.")
    ] = None,
    proposes: Propose = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Decide all violations that the conditions select, but for a random sample.

    The sample is left to a person. First a dry run.
    """
    _require_dry_run(execute=execute, is_shown=bool(expected_count and etag), proposes=proposes)
    wanted: dict[str, Any] = {
        "actor": actor,
        "reason": reason,
        "ground": ground,
        "decision_id": decision_id or uuid.uuid4().hex,
        "violation_types": violation_type or (),
        "notifier": notifier,
        "seller": seller,
        "statuses": [status_of(text) for text in status or ()],
        "listing": listing,
        "right": right,
        "reported_from": moment(reported_from, "--reported-from"),
        "reported_before": moment(reported_before, "--reported-before"),
        "sample_fraction": sample_fraction,
        "execute": execute,
        "expected_count": expected_count,
        "etag": etag,
    }
    if proposes:
        _propose_all(action, marketplace, wanted, output)
    else:
        _show_decided(_decide_all(action, marketplace, wanted), wanted, output)


def _require_dry_run(*, execute: bool, is_shown: bool, proposes: bool) -> None:
    """Refuse, by InvalidInput, to decide without what a dry run showed.

    Also to propose a dry run.
    """
    if execute and not is_shown:
        raise invalid("--execute", "needs --expected-count and --etag, which the dry run (without --execute) shows")
    if proposes and not execute:
        raise invalid("--execute", "is required to propose: a dry run needs no approval")


def _propose_all(action: BulkAction, marketplace: str | None, wanted: dict[str, Any], output: Format) -> None:
    """Propose a bulk decision to another person."""
    with client() as (connection, settings):
        where = marketplace_of(marketplace, settings)
        request = decide_request(where, Action.Value(f"ACTION_{action.name}"), **wanted)
        propose(connection, request, actor=wanted["actor"], reason=wanted["reason"], output=output)


def _show_decided(done: DecideViolationsResponse, wanted: dict[str, Any], output: Format) -> None:
    """Write what became of a bulk decision, and how to go on after a dry run."""
    emit_one(outcome_row(wanted["decision_id"], done), output)
    if not done.count:
        say("nothing is selected: no violation that allows the action fits all conditions")
    elif not wanted["execute"]:
        say(
            f"nothing was decided; to decide, the same with: --execute --expected-count {done.count} --etag {done.etag}"
        )


def _decide_all(action: BulkAction, marketplace: str | None, wanted: dict[str, Any]) -> DecideViolationsResponse:
    """Call until nothing remains, or once for a dry run, and return what became of it."""
    execute, name = wanted["execute"], wanted["decision_id"]
    with client() as (connection, settings):
        review, where = ReviewClient(connection), marketplace_of(marketplace, settings)
        number = Action.Value(f"ACTION_{action.name}")
        try:
            while (done := review.decide_violations(where, number, **wanted)).remaining and execute:
                say(f"{done.decided:,} of {done.count:,} decided")
            if not done.count and wanted["notifier"]:
                _require_notifier(review, where, wanted["notifier"])
        except (SellertrustCallError, KeyboardInterrupt) as error:
            if execute and (isinstance(error, KeyboardInterrupt) or exit_code(error) in _MAY_GO_ON):
                say(f"this may have stopped half-way: the same command with --decision-id {name} goes on")
            raise
    return done


def _require_notifier(review: ReviewClient, marketplace: str, notifier: str) -> None:
    """Refuse a notifier that has reported nothing, by NOTIFIER_NOT_FOUND.

    As far as the caller may know.
    """
    try:
        review.get_notifier(marketplace, notifier)
    except SellertrustCallError as error:
        if error.code is not grpc.StatusCode.PERMISSION_DENIED:
            raise


_MAY_GO_ON = (Exit.UNAVAILABLE, Exit.UNFORESEEN)


def _times(observe_time: str | None, known_time: str | None) -> dict[str, Any]:
    return {"observe_time": moment(observe_time, "--observe-time"), "known_time": moment(known_time, "--known-time")}


def notifier_row(notifier: Notifier) -> dict[str, Any]:
    """Return one notifier as a row for output, value by column, names in lower case.

    Reliability and its interval are None where it has none.
    """
    known = notifier.HasField("reliability")
    return {
        "notifier": notifier.name.rsplit("/", 1)[-1],
        "source": Source.Name(notifier.source).removeprefix("SOURCE_").lower() if notifier.source else None,
        "reports": notifier.reports,
        "upheld": notifier.upheld,
        "overturned": notifier.overturned,
        "dismissed": notifier.dismissed,
        "withdrawn": notifier.withdrawn,
        "open": notifier.open,
        "authority_reports": notifier.authority_reports,
        "reliability": round(notifier.reliability, 3) if known else None,
        "low": round(notifier.reliability_low, 3) if known else None,
        "high": round(notifier.reliability_high, 3) if known else None,
        "prior": round(notifier.prior_reliability, 3) if known else None,
    }


def queue_row(item: QueueItem) -> dict[str, Any]:
    """Return one item of the review queue as a row for output.

    Columns of its violation, and the parts of its priority.
    """
    row = violation_row(item.violation)
    names = ("violation", "seller", "status", "violation_type", "severity", "source", "notifier")
    return {
        **{name: row[name] for name in names},
        "priority": round(item.priority, 1),
        "safety_first": item.safety_first,
        "probability_upheld": round(item.probability_upheld, 3),
        "harm_weight": item.harm_weight,
        "recent_orders": item.recent_orders,
        "held_back": item.held_back,
        "decide_by": item.decide_by_time.ToJsonString() if item.HasField("decide_by_time") else "",
    }


def outcome_row(decision_id: str, done: DecideViolationsResponse) -> dict[str, Any]:
    """Return the outcome of a bulk decision as a row for output: counts, examples, etag.

    With a column for each status among the selected violations.
    """
    counts = {
        ViolationStatus.Name(one.status).removeprefix("VIOLATION_STATUS_").lower(): one.count for one in done.statuses
    }
    return {
        "decision_id": decision_id,
        "count": done.count,
        **counts,
        "decided": done.decided,
        "remaining": done.remaining,
        "held_back": [name.rsplit("/", 1)[-1] for name in done.held_back],
        "examples": [name.rsplit("/", 1)[-1] for name in done.examples],
        "reached": done.reached,
        "changed": [name.rsplit("/", 1)[-1] for name in done.changed],
        "etag": done.etag,
    }
