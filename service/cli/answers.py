"""What would be, which way leads back, and what an old answer rested on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from sellertrust.v1.answer_service_pb2 import SimulateTrustScoreResponse
from sellertrust.v1.entry_pb2 import Tier
from sellertrust.v1.measure_service_pb2 import EvaluateMeasuresResponse
from sellertrust.v1.trust_score_service_pb2 import AUDIENCE_SELLER, AUDIENCE_STAFF, TrustScore
from service.cli.common import client
from service.cli.ledger import read_entries
from service.cli.measures import kind_text, value_text
from service.cli.options import Marketplace, Seller
from service.cli.output import Format, Output, emit_one, wrap_line, write
from service.cli.rows import dict_of

simulation = typer.Typer()

ForSeller = Annotated[bool, typer.Option("--for-seller", help="Show only what the seller itself may see.")]


@simulation.command("simulate")
def simulate(
    seller: Seller,
    overturn: Annotated[
        list[str] | None,
        typer.Option("--overturn", metavar="VIOLATION", help="If this appeal succeeds; may be repeated."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", exists=True, dir_okay=False, help="If these entries come, in JSON lines."
        ),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=0, max=365, help="So many days from now.")] = 0,
    for_seller: ForSeller = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the score and measures of a seller if something happened.

    Nothing is recorded.
    """
    with client(marketplace) as (connection, where):
        found = connection.simulate_trust_score(
            where,
            seller,
            read_entries(file, where) if file is not None else (),
            overturned=overturn or (),
            observe_time=datetime.now(UTC) + timedelta(days=days) if days else None,
            audience=AUDIENCE_SELLER if for_seller else AUDIENCE_STAFF,
        )
    if output is Format.JSON:
        emit_one(dict_of(found), output)
    else:
        _print_simulation(found)


def _print_simulation(found: SimulateTrustScoreResponse) -> None:
    write(f"now: {_score_text(found.present)}\nif so: {_score_text(found.simulated)}\n")
    before, after = (_list_measures(one) for one in (found.present_measures, found.simulated_measures))
    for sign, lines in (("ends", before - after), ("begins", after - before)):
        for line in sorted(lines):
            write(wrap_line(f"  {sign}: {line}"))


def _score_text(score: TrustScore) -> str:
    points = f"{score.points} points, " if score.HasField("points") else ""
    return f"{points}tier {tier_text(score.tier)}, badge {score.badge}"


def tier_text(tier: "Tier.ValueType") -> str:
    return Tier.Name(tier).removeprefix("TIER_").lower()


def _list_measures(found: EvaluateMeasuresResponse) -> set[str]:
    return {
        f"{kind_text(one.kind)} {value_text(one.current, found.currency)} ({one.reference or 'by a person'})"
        for one in found.measures
        if not one.waived and not one.lifted
    }
