"""`sellertrust train`: from the ledger to a registered model, as a study says."""

from pathlib import Path
from typing import Annotated, Any

import typer

from scoring.errors import ConfigurationWrong
from service.cli.common import open_ledger
from service.cli.models import figures_of, now, open_registry, user
from service.cli.output import Format, Output, emit_one, say, training_missing
from service.progress import StepProgress
from service.settings import Settings, load

ROOT = Path(__file__).parents[2]


def register(parent: typer.Typer) -> None:
    """Adds `train` to the command."""
    parent.command("train")(train)


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
    row: dict[str, Any] = {"study": study.name, **figures_of(trained.evaluation), "seconds": dict(trained.seconds)}
    if publish:
        registry = open_registry(settings)
        digest = registry.publish(trained.parts, actor=user(), reason=f"trained by {study.name}", now=now())
        row["digest"] = digest
        row["alias"] = "champion" if registry.champion() == digest else "challenger"
        if row["alias"] == "challenger":
            say(f"published as challenger; to serve it: sellertrust model promote {digest[:12]}")
    return row
