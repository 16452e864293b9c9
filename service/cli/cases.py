"""`sellertrust case list | confirm | end`: the cases of cautions and stops of payouts, and a decision on one, over gRPC."""

from typing import Annotated, Any

import typer

from sellertrust.review import ReviewClient
from sellertrust.v1.review_service_pb2 import OpenCase
from service.cli.common import Marketplace, client, marketplace_of
from service.cli.output import Format, Output, cut_to_limit, emit, format_count, say
from service.cli.violations import Actor, EntryId, Ground, Reason

app = typer.Typer()

Seller = Annotated[str, typer.Argument(metavar="SELLER", help="Id of the seller.")]
Case = Annotated[str, typer.Argument(metavar="CASE", help="Name of the case, as `case list` and `score` show it.")]


@app.command("list")
def list_cases(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="At most so many.")] = 100,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """List the cases that nobody has decided, those first whose deadline is first."""
    with client() as (connection, settings):
        found = ReviewClient(connection).list_cases(marketplace_of(marketplace, settings))
    emit([case_row(one) for one in cut_to_limit(limit, found.cases)], output)
    if found.open_cases:
        say(f"{format_count(found.open_cases, 'case')} open, {found.overdue_cases:,} overdue")


@app.command("confirm")
def confirm(
    seller: Seller,
    case: Case,
    violation: Annotated[
        list[str], typer.Option("--violation", help="Id of a confirmed violation that it came to; may be repeated.")
    ],
    actor: Actor,
    reason: Reason,
    ground: Ground = "",
    entry_id: EntryId = None,
    marketplace: Marketplace = None,
) -> None:
    """Decide that what was suspected is so: it came to violations, which were reported and confirmed as usual.

    The caution goes on until it ends by itself; what follows then is by the rules on confirmed facts.
    """
    with client() as (connection, settings):
        ReviewClient(connection).confirm_case(
            marketplace_of(marketplace, settings),
            *(seller, case),
            violations=violation,
            actor=actor,
            reason=reason,
            ground=ground,
            entry_id=entry_id,
        )
    say(f"{case}: confirmed")


@app.command("end")
def end(
    seller: Seller,
    case: Case,
    actor: Actor,
    reason: Reason,
    ground: Ground = "",
    entry_id: EntryId = None,
    marketplace: Marketplace = None,
) -> None:
    """Decide that what was suspected is not so: the caution ends now, and never begins again on the same facts."""
    with client() as (connection, settings):
        ReviewClient(connection).end_case(
            marketplace_of(marketplace, settings),
            *(seller, case),
            actor=actor,
            reason=reason,
            ground=ground,
            entry_id=entry_id,
        )
    say(f"{case}: ended, and its caution or stop with it")


def case_row(one: OpenCase) -> dict[str, Any]:
    """Return one open case as a row for output."""
    return {
        "case": one.case,
        "seller": one.seller.rsplit("/", 1)[-1],
        "rule": one.rule,
        "opened": one.open_time.ToJsonString(),
        "decide_by": one.decide_by_time.ToJsonString(),
        "overdue": one.overdue,
        "caution_ends": one.caution_end_time.ToJsonString(),
        "entries": " ".join(one.entries[:5]) + (f" and {len(one.entries) - 5} more" if len(one.entries) > 5 else ""),
    }
