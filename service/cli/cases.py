from enum import StrEnum
from typing import Annotated, Any

import typer

from scoring.base.errors import invalid
from sellertrust.review import ReviewClient
from service.cli.common import client
from service.cli.options import Actor, EntryId, Ground, Limit, Marketplace, Reason, Seller
from service.cli.output import Format, Output, cut_to_limit, emit, format_count, say
from service.cli.rows import row_of

app = typer.Typer()

FIELDS = "case seller rule opened=open_time decide_by=decide_by_time overdue caution_ends=caution_end_time entries"
MAX_ENTRIES = 5


class Outcome(StrEnum):
    CONFIRM = "confirm"
    END = "end"


@app.command("list")
def list_cases(limit: Limit = 100, marketplace: Marketplace = None, output: Output = Format.TABLE) -> None:
    """List the undecided cases, earliest deadline first."""
    with client(marketplace) as (connection, where):
        found = ReviewClient(connection).list_cases(where)
    rows = [row_of(one, FIELDS) for one in cut_to_limit(limit, found.cases)]
    for row in rows:
        more = len(row["entries"]) - MAX_ENTRIES
        row["entries"] = " ".join(row["entries"][:MAX_ENTRIES]) + (f" and {more} more" if more > 0 else "")
    emit(rows, output)
    if found.open_cases:
        say(f"{format_count(found.open_cases, 'case')} open, {found.overdue_cases:,} overdue")


@app.command("decide")
def decide(
    seller: Seller,
    case: Annotated[str, typer.Argument(metavar="CASE", help="Name of the case, as `case list` and `score` show it.")],
    outcome: Annotated[Outcome, typer.Argument(metavar="OUTCOME", help="What is decided.")],
    actor: Actor,
    reason: Reason,
    violation: Annotated[
        list[str] | None,
        typer.Option("--violation", help="Id of a confirmed violation that it came to, to confirm; may be repeated."),
    ] = None,
    ground: Ground = "",
    entry_id: EntryId = None,
    marketplace: Marketplace = None,
) -> None:
    """Decide a case.

    confirm: the suspicion is true. --violation names the violations that it came to. The caution goes on until it
    expires.

    end: the suspicion is false. The caution ends now, and never begins again on the same facts.
    """
    if bool(violation) != (outcome is Outcome.CONFIRM):
        raise invalid("--violation", "is required to confirm, and belongs to nothing else")
    stated: dict[str, Any] = {"actor": actor, "reason": reason, "ground": ground, "entry_id": entry_id}
    with client(marketplace) as (connection, where):
        review = ReviewClient(connection)
        if violation:
            review.confirm_case(where, seller, case, violations=violation, **stated)
        else:
            review.end_case(where, seller, case, **stated)
    say(f"{case}: confirmed" if violation else f"{case}: ended, and its caution or stop with it")
