"""`sellertrust override set | end | list`: the tier that a person sets for a time, over gRPC."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import grpc
import typer

from scoring.enums import Tier
from scoring.errors import invalid
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.requests import marketplace_name, seller_name
from sellertrust.v1.entry_pb2 import Entry
from sellertrust.v1.ledger_service_pb2 import AppendEntriesRequest
from service.cli.common import Marketplace, client, find_entries, marketplace_of, moment, parse_option
from service.cli.output import Format, Output, cut_to_limit, emit, say
from service.cli.proposals import Propose, propose

app = typer.Typer()

Seller = Annotated[str, typer.Argument(metavar="SELLER", help="Id of the seller.")]
Actor = Annotated[str, typer.Option("--actor", help="Who: a pseudonym or a role, an id.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in 1 to 500 characters; the seller sees it.")]
EntryId = Annotated[
    str | None,
    typer.Option("--entry-id", metavar="ID", help="Id of the entry, so that a retry is safe; default: a new one."),
]

_TIERS = ", ".join(tier.name.lower() for tier in Tier)


@app.command("set")
def set_override(
    seller: Seller,
    tier: Annotated[str, typer.Argument(metavar="TIER", help=f"One of {_TIERS}.")],
    until: Annotated[
        str,
        typer.Option("--until", metavar="T", help="When it ends: a time (RFC 3339) or a date, in 366 days at most."),
    ],
    actor: Actor,
    reason: Reason,
    entry_id: EntryId = None,
    proposes: Propose = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Set a seller's tier until a time, whatever its score; a later override replaces it."""
    entry = _entry(entry_id, parse_option("TIER", Tier, tier), actor, reason)
    end = moment(until, "--until")
    if end is not None:
        entry.override.until.FromDatetime(end)
    with client() as (connection, settings):
        where = marketplace_of(marketplace, settings)
        _require_seller(connection, where, seller)
        if _append(connection, where, seller, entry, proposes, output):
            say(f"{seller}: {tier.lower()} until {entry.override.until.ToJsonString()}, by the entry {entry.entry_id}")


@app.command("end")
def end_override(
    seller: Seller,
    actor: Actor,
    reason: Reason,
    entry_id: EntryId = None,
    proposes: Propose = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """End the override in force for a seller now; its tier follows from its score again.

    By an override that has ended as soon as it is stated: what was in force until now stays on record.
    """
    with client() as (connection, settings):
        where = marketplace_of(marketplace, settings)
        score = connection.get_trust_score(where, seller, max_staleness="fresh")
        if not score.override:
            raise invalid("SELLER", f"no override is in force for {seller!r}")
        found = find_entries(connection, where, seller, [score.override])[score.override]
        entry = _entry(entry_id, Tier(found.override.tier), actor, reason)
        # Just before the answer that showed it: an instant that no clock of a server takes for the future.
        ended = score.stamp.observe_time.ToDatetime(UTC) - timedelta(milliseconds=1)
        entry.occur_time.FromDatetime(ended)
        entry.override.until.FromDatetime(ended + timedelta(microseconds=1))
        if _append(connection, where, seller, entry, proposes, output):
            say(f"{seller}: the override {score.override} is ended, by the entry {entry.entry_id}")


@app.command("list")
def list_overrides(
    seller: Annotated[
        str, typer.Argument(metavar="[SELLER]", help="Id of the seller; default: all of the marketplace.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="At most so many.")] = 100,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """List overrides, the first stated first: who set which tier, why, from when until when, and which are in force.

    For a whole marketplace it reads all entries.
    """
    with client() as (connection, settings):
        where = marketplace_of(marketplace, settings)
        entries = [
            one for one in connection.list_entries(where, seller or None, page_size=1000) if one.HasField("override")
        ]
    last = {one.seller: one.entry_id for one in entries}
    now = datetime.now(UTC)
    rows = [_row(one, last[one.seller] == one.entry_id, now) for one in entries]
    emit([*cut_to_limit(limit, iter(rows))], output)


def _row(entry: Entry, is_last: bool, now: datetime) -> dict[str, Any]:
    """Return one override as a row; in force is the last one of its seller, unless it has ended."""
    stated = entry.override
    return {
        "seller": entry.seller.rsplit("/", 1)[-1],
        "entry": entry.entry_id,
        "tier": Tier(stated.tier).name.lower(),
        "from": entry.occur_time.ToJsonString(),
        "until": stated.until.ToJsonString(),
        "in_force": is_last and stated.until.ToDatetime(UTC) > now,
        "actor": stated.actor,
        "reason": stated.reason,
    }


def _entry(entry_id: str | None, tier: Tier, actor: str, reason: str) -> Entry:
    entry = Entry(entry_id=entry_id or f"override-{uuid.uuid4()}")
    entry.override.tier, entry.override.actor, entry.override.reason = int(tier), actor, reason  # type: ignore[assignment]
    return entry


def _require_seller(connection: Client, marketplace: str, seller: str) -> None:
    """Refuse a seller of whom nothing stands, by SELLER_NOT_FOUND, as far as the caller may know."""
    try:
        connection.get_trust_score(marketplace, seller)
    except SellertrustCallError as error:
        if error.code is grpc.StatusCode.NOT_FOUND:
            raise


def _append(connection: Client, marketplace: str, seller: str, entry: Entry, proposes: bool, output: Format) -> bool:
    """Append an override, or propose it; return whether it was appended."""
    entry.seller = seller_name(marketplace, seller)
    if proposes:
        request = AppendEntriesRequest(parent=marketplace_name(marketplace), entries=[entry])
        propose(connection, request, actor=entry.override.actor, reason=entry.override.reason, output=output)
        return False
    connection.append_entries(marketplace, [entry])
    return True
