"""`sellertrust model ...`: the published models, and who is champion."""

import getpass
import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.errors import ArtifactRefused
from service.cli.output import Format, Output, emit, emit_one, say
from service.settings import Settings, load

if TYPE_CHECKING:
    from service.registry import Registry

app = typer.Typer(help="The models: what was published, and who is champion.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Adds `model` to the command."""
    parent.add_typer(app, name="model")


@app.command("list")
def list_models(output: Output = Format.TABLE) -> None:
    """List the published models and their aliases."""
    registry = open_registry(load())
    aliases = registry.aliases()
    rows = []
    for digest in registry.digests():
        evaluation, lineage, state = _stated(registry, digest)
        rows.append(
            {
                "digest": digest[:12] if output is Format.TABLE else digest,
                "aliases": " ".join(alias for alias, target in aliases.items() if target == digest),
                "study": lineage.get("study"),
                "auc": round(evaluation["auc"]["lightgbm"]["value"], 4) if "auc" in evaluation else None,
                "ledger_as_of": lineage.get("ledger_as_of"),
                "entries": lineage.get("ledger_entries"),
                "state": state,
            }
        )
    emit(rows, output)


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An alias, or the beginning of a digest.")] = "champion",
    output: Output = Format.TABLE,
) -> None:
    """Show one model: what it was trained on, how good it is, its features and its certificate. Verifies it whole."""
    registry = open_registry(load())
    artifact = registry.load(registry.resolve(model))
    evaluation = json.loads(artifact.parts["evaluation.json"])
    certificate = json.loads(artifact.parts["certificate.json"])
    row = {
        "digest": artifact.digest,
        **json.loads(artifact.parts["lineage.json"]),
        **(figures_of(evaluation) if evaluation else {}),
        "baseline_points": artifact.baseline_points,
        "certificate": f"{certificate['algorithm']}, {certificate['trees']} trees",
        "features": [feature.key for feature in artifact.features],
    }
    if output is Format.JSON:
        row["evaluation"] = evaluation
    emit_one(row, output)


@app.command("promote")
def promote(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An alias, or the beginning of a digest.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log for ever.")],
    actor: Annotated[str | None, typer.Option("--actor", help="Who; default: the user of this machine.")] = None,
) -> None:
    """Make a model champion. A running server takes it over within seconds."""
    registry = open_registry(load())
    digest = registry.promote(model, actor=actor or user(), reason=reason, now=now())
    say(f"champion is now {digest[:12]}")


def open_registry(settings: Settings) -> "Registry":
    """The configured registry."""
    from service.registry import Registry

    return Registry(settings.registry)


def _stated(registry: "Registry", digest: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A model's evaluation and lineage, and whether it can be used: a damaged one is listed, not trusted."""
    try:
        parts = registry.load(digest).parts
    except ArtifactRefused:
        return {}, {}, "damaged"
    return json.loads(parts["evaluation.json"]), json.loads(parts["lineage.json"]), "verified"


def figures_of(evaluation: dict[str, Any] | Any) -> dict[str, Any]:
    """The figures of an evaluation that a person looks at first."""
    auc = {name: _spell(interval) for name, interval in evaluation["auc"].items()}
    return {
        "train_rows": evaluation["train"]["rows"],
        "test_rows": evaluation["test"]["rows"],
        "base_rate": round(evaluation["base_rate"], 4),
        "auc": auc["lightgbm"],
        "auc_logistic": auc["logistic"],
        "auc_points_rule": auc["points_rule"],
        "difference_to_logistic": _spell(evaluation["difference"]["lightgbm-logistic"]),
    }


def _spell(interval: dict[str, float]) -> str:
    return f"{interval['value']:.4f} ({interval['low']:.4f} to {interval['high']:.4f})"


def user() -> str:
    """Who is logged in."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container with a user of no name
        return "unnamed"


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
