"""`sellertrust train` and `sellertrust model ...`: from the ledger to a registered model, and who is champion."""

import getpass
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.errors import ArtifactRefused, ConfigurationWrong
from service.cli.common import open_ledger
from service.cli.output import Format, Output, emit, emit_one, say, training_missing
from service.progress import StepProgress
from service.settings import Settings, load

if TYPE_CHECKING:
    from service.registry import Registry

app = typer.Typer(help="The models: what was published, and who is champion.", no_args_is_help=True)
ROOT = Path(__file__).parents[2]


def register(parent: typer.Typer) -> None:
    """Adds `train` and `model` to the command."""
    parent.command("train")(train)
    parent.add_typer(app, name="model")


def train(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="TOML file that states the whole training.")],
    export: Annotated[
        Path | None, typer.Option("--export", help="Train on this export instead of the ledger as it is now.")
    ] = None,
    publish: Annotated[bool, typer.Option(help="Publish the model to the registry.")] = True,
    output: Output = Format.TABLE,
) -> None:
    """Train, certify, calibrate and evaluate a model as a study says, and publish it."""
    row = train_and_publish(study, load(), export=export, publish=publish)
    emit_one(row, output)


def train_and_publish(
    study_file: Path, settings: Settings, *, export: Path | None = None, publish: bool = True
) -> dict[str, Any]:
    """Runs a study on the ledger or an export; what became of it, as JSON values."""
    try:
        from training.export import read_export, write_export
        from training.study import load_study
        from training.train import train as run
    except ImportError as error:
        raise training_missing(error) from None
    shipped = ROOT / "training" / "studies" / study_file.name
    study = load_study(study_file if study_file.exists() or not shipped.exists() else shipped)
    with StepProgress() as progress:
        if export is None:
            export = settings.data_dir / "exports" / f"{study.marketplace}.parquet"
            progress("export", 0, 1)
            with open_ledger(settings) as ledger:
                count = write_export(ledger.export_rows(study.marketplace, ledger.cut()), export)
            progress("export", 1, 1)
            if not count:
                raise ConfigurationWrong(
                    f"the ledger holds no entries of marketplace {study.marketplace!r}, which the study names; import"
                    " them first: sellertrust ledger import MAPPING"
                )
        trained = run(read_export(export), study, progress)
    row: dict[str, Any] = {"study": study.name, **_figures(trained.evaluation), "seconds": dict(trained.seconds)}
    if publish:
        registry = _registry(settings)
        digest = registry.publish(trained.parts, actor=_user(), reason=f"trained by {study.name}", now=_now())
        row["digest"] = digest
        row["alias"] = "champion" if registry.champion() == digest else "challenger"
        if row["alias"] == "challenger":
            say(f"published as challenger; to serve it: sellertrust model promote {digest[:12]}")
    return row


@app.command("list")
def list_models(output: Output = Format.TABLE) -> None:
    """List the published models and their aliases."""
    registry = _registry(load())
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
    registry = _registry(load())
    artifact = registry.load(registry.resolve(model))
    evaluation = json.loads(artifact.parts["evaluation.json"])
    certificate = json.loads(artifact.parts["certificate.json"])
    row = {
        "digest": artifact.digest,
        **json.loads(artifact.parts["lineage.json"]),
        **(_figures(evaluation) if evaluation else {}),
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
    registry = _registry(load())
    digest = registry.promote(model, actor=actor or _user(), reason=reason, now=_now())
    say(f"champion is now {digest[:12]}")


def _registry(settings: Settings) -> "Registry":
    from service.registry import Registry

    return Registry(settings.registry_dir)


def _stated(registry: "Registry", digest: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A model's evaluation and lineage, and whether it can be used: a damaged one is listed, not trusted."""
    try:
        parts = registry.load(digest).parts
    except ArtifactRefused:
        return {}, {}, "damaged"
    return json.loads(parts["evaluation.json"]), json.loads(parts["lineage.json"]), "verified"


def _figures(evaluation: dict[str, Any] | Any) -> dict[str, Any]:
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


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container with a user of no name
        return "unnamed"


def _now() -> int:
    return time.time_ns() // 1000
