import uuid
from datetime import UTC, timedelta
from typing import Annotated

import grpc
import typer

from scoring.base.enums import Tier
from scoring.base.errors import invalid
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.requests import marketplace_name, seller_name
from sellertrust.v1.entry_pb2 import Entry
from sellertrust.v1.ledger_service_pb2 import AppendEntriesRequest
from service.cli.common import client, find_entries, moment, parse_option
from service.cli.options import Actor, EntryId, Marketplace, Propose, Reason, Seller
from service.cli.output import Format, Output, say
from service.cli.proposals import propose

app = typer.Typer()

NONE = "none"
"""Used in place of a tier: the override in force ends."""


@app.command("override")
def set_override(
    seller: Seller,
    tier: Annotated[
        str,
        typer.Argument(
            metavar="TIER", help=f"One of {', '.join(one.name.lower() for one in Tier)}, or {NONE} to end it."
        ),
    ],
    actor: Actor,
    reason: Reason,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="T", help="When it ends: a time (RFC 3339) or a date, in 366 days at most."),
    ] = None,
    entry_id: EntryId = None,
    proposes: Propose = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Set the tier of a seller until a time, whatever its score.

    A later override replaces it. With none the override in force ends now, and the tier follows from the score again.
    This records an override that ends at once; the earlier override remains recorded.
    """
    end, is_end = moment(until, "--until"), tier == NONE
    if (end is None) != is_end:
        raise invalid("--until", f"is required to set a tier, and does not belong to {NONE}")
    entry = Entry(entry_id=entry_id or f"override-{uuid.uuid4()}")
    entry.override.actor, entry.override.reason = actor, reason
    if end is not None:
        entry.override.tier = int(parse_option("TIER", Tier, tier))  # type: ignore[assignment]
        entry.override.until.FromDatetime(end)
    with client(marketplace) as (connection, where):
        entry.seller = seller_name(where, seller)
        if is_end:
            ended = _end(connection, where, seller, entry)
            done = f"the override {ended} is ended"
        else:
            _require_seller(connection, where, seller)
            done = f"{tier.lower()} until {entry.override.until.ToJsonString()}"
        if proposes:
            request = AppendEntriesRequest(parent=marketplace_name(where), entries=[entry])
            propose(connection, request, actor=actor, reason=reason, output=output)
            return
        connection.append_entries(where, [entry])
    say(f"{seller}: {done}, by the entry {entry.entry_id}")


def _end(connection: Client, marketplace: str, seller: str, entry: Entry) -> str:
    """Fill an entry that ends the override in force, and return that override's id."""
    score = connection.get_trust_score(marketplace, seller, max_staleness="fresh")
    if not score.override:
        raise invalid("SELLER", f"no override is in force for {seller!r}")
    entry.override.tier = find_entries(connection, marketplace, seller, [score.override])[score.override].override.tier
    # Just before the answer that showed it, so that no server's clock takes it for the future.
    ended = score.stamp.observe_time.ToDatetime(UTC) - timedelta(milliseconds=1)
    entry.occur_time.FromDatetime(ended)
    entry.override.until.FromDatetime(ended + timedelta(microseconds=1))
    return score.override


def _require_seller(connection: Client, marketplace: str, seller: str) -> None:
    """Raise SELLER_NOT_FOUND for a seller without entries, as far as the caller may know."""
    try:
        connection.get_trust_score(marketplace, seller)
    except SellertrustCallError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            raise
