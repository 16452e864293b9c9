from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from scoring.base.canonical import parse_json
from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.errors import invalid
from service.bootstrap import open_registry
from service.cli.options import OfModel, PolicyOrDefault
from service.cli.output import Format, Output, emit, emit_one, say
from service.settings import load

app = typer.Typer()

SHARES = "15,20,45,20"


@app.command("fit")
def fit(
    file: PolicyOrDefault = None,
    model: OfModel = "champion",
    shares: Annotated[
        str,
        typer.Option(
            "--shares",
            metavar="A,B,C,D",
            help="Propose cut-offs for these shares of probation, standard, trusted and exemplary.",
        ),
    ] = SHARES,
    output: Output = Format.TABLE,
) -> None:
    """Show each tier's share of sellers and its rate of bad by a model's test rows; propose cut-offs.

    Rates are over the study's window at the reference exposure, with 95 % intervals. Neighbours with overlapping
    intervals cannot be distinguished. Unrated are those whom the training's policy left unrated.
    """
    from service.policy.policy_file import SHIPPED_POLICY, read_policy
    from training.evaluation.bands import propose_cut_offs, read_bands

    wanted = _read_shares(shares)
    policy = read_policy(file or load().policy or SHIPPED_POLICY)
    registry = open_registry(load())
    digest = registry.resolve(model)
    strips = parse_json(registry.content(digest)["evaluation.json"]).get("strips")
    if strips is None:
        raise invalid("--model", f"names {digest[:12]}, whose evaluation holds no test rows by points: train it again")
    proposed = propose_cut_offs(strips, wanted)
    tables = {"bands": read_bands(strips, policy.cut_offs), "proposed": read_bands(strips, proposed)}
    if output is Format.JSON:
        emit_one({"policy": policy.digest, "model": digest, "cut_offs": _spell(proposed), **tables}, output)
        return
    unrated = strips["unrated"] / max(sum(strips["rows"]) + strips["unrated"], 1)
    say(
        f"policy {policy.name} version {policy.version}, model {digest[:12]}; {unrated:.1%} of the test rows are unrated"
    )
    emit(_rows(tables["bands"]), output)
    say(
        f"proposed for shares {shares}: " + ", ".join(f"{name} = {points}" for name, points in _spell(proposed).items())
    )
    emit(_rows(tables["proposed"]), output)


def _read_shares(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != len(RATED_TIERS) or not all(0 < share <= 1e9 for share in found):
        raise invalid("--shares", f"must be four numbers above 0 with commas between them, such as {SHARES}")
    return found


def _spell(cut_offs: Mapping[Tier, int]) -> dict[str, int]:
    return {tier.name.lower(): points for tier, points in cut_offs.items()}


def _rows(bands: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    words = {True: "told apart", False: "not told apart", None: None}
    return [
        {
            "tier": row["tier"],
            "points": f"{row['points_from']} to {row['points_to']}",
            "share": f"{row['share']:.1%}",
            "bad": None if row["rate"] is None else f"{row['rate']:.2%}",
            "95 %": None if row["rate"] is None else f"{row['low']:.2%} to {row['high']:.2%}",
            "from the next": words[row["apart"]],
        }
        for row in bands
    ]
