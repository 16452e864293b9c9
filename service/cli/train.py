import json
from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import ConfigurationWrong, invalid
from scoring.base.progress import Progress
from scoring.model.promises import broken_promises
from service.bootstrap import open_registry
from service.cli.models import compare_plainly, figures_of, format_estimates, login_name
from service.cli.options import Export
from service.cli.output import Exit, Format, Output, emit, emit_one, say
from service.cli.progress import StepProgress
from service.cli.training_data import study_of, table_of
from service.ledger.clock.server_clock import wall_clock
from service.policy.policy_file import load_policy
from service.settings import Settings, load

if TYPE_CHECKING:
    from scoring.model.artifact import Artifact
    from service.registry.registry import Registry
    from training.pipeline.job import Job, PlannedRun, TrainedModel
    from training.study.definition import Study

_REPORTED_PARTS = ("manifest", "evaluation", "lineage", "certificate")


def train(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", dir_okay=False, help="TOML file that states the whole training.")
    ],
    export: Export = None,
    publish: Annotated[bool, typer.Option(help="Register the model as challenger, with its report.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Snapshot and checks alone: nothing is trained.")] = False,
    verify: Annotated[bool, typer.Option(help="Train twice and compare: the same data give the same bits.")] = True,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Keep the champion's tables, fit the base alone anew.")
    ] = False,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", metavar="FILE", help="Write the scored test rows to this .csv or .parquet file."),
    ] = None,
    matrix: Annotated[
        Path | None,
        typer.Option(
            "--matrix", metavar="FILE", help="Write features, label, weight and split to this .csv or .parquet file."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Train, check and judge a model as a study says, and register it.

    It is also certified monotone, calibrated, and compared with simpler ones. The first model whose gates need no
    sign-off becomes champion; any other is a challenger.

    Exit code 4 if a hard gate failed: the model is registered, but its promotion is rejected.
    """
    from training.pipeline.rows import check_rows_file, design_matrix, scored_rows, write_rows
    from training.pipeline.run import plan, run

    settings, study_read = load(), study_of(study)
    if dry_run and rows is not None:
        raise invalid("--rows", "does not belong to --dry-run, which scores nothing; leave out one of them")
    for option, file in (("--rows", rows), ("--matrix", matrix)):
        if file is not None:
            check_rows_file(file, option)
    with StepProgress() as progress:
        job = make_job(settings, study_read, export, progress, recalibrate=recalibrate, verify=verify)
        if matrix is not None:
            say(f"{write_rows(design_matrix(job), matrix):,} rows of features, label and weight written to {matrix}")
        if dry_run:
            _show_plan(plan(job, progress), output)
            return
        trained = run(job, progress)
    if rows is not None:
        say(f"{write_rows(scored_rows(job.table, trained), rows):,} scored test rows written to {rows}")
    row = finish_job(open_registry(settings), job, trained, publish=publish)
    _show_training(trained, row, output, progress.seconds)
    if not trained.passed:
        say(f"error: hard gates are not passed: {', '.join(row['failed_hard'])}; the report says why")
        raise typer.Exit(Exit.REFUSED)


def make_job(
    settings: Settings,
    study: "Study",
    export: Path | None,
    progress: Progress,
    *,
    recalibrate: bool = False,
    verify: bool = True,
) -> "Job":
    """Read an export into memory, and prepare the job; `export` and EntryNotFound as in `table_of`."""
    from service.cli.parity import count_differing_rows
    from training.monitoring.outcomes import study_of_model
    from training.pipeline.job import Job, Shell

    table = table_of(settings, study.marketplace, export, progress)
    champion = _load_champion(settings, study, recalibrate=recalibrate)
    if recalibrate and champion is not None:
        study = study_of_model(study, champion)
    shell = Shell(
        parity=None if export else partial(count_differing_rows, settings, study.marketplace),
        looks=settings.data_dir / "training" / "looks.jsonl",
        now=wall_clock(),
    )
    return Job(table, study, load_policy(settings), champion, recalibrate=recalibrate, verify=verify, shell=shell)


def _load_champion(settings: Settings, study: "Study", *, recalibrate: bool) -> "Artifact | None":
    from training.monitoring.outcomes import read_lineage

    registry = open_registry(settings)
    digest = registry.champion_digest()
    if digest is None:
        if recalibrate:
            raise ConfigurationWrong("there is no champion to recalibrate; train without --recalibrate first")
        return None
    champion = registry.load(digest)
    champion_marketplace = read_lineage(champion).get("marketplace", study.marketplace)
    if champion_marketplace == study.marketplace:
        return champion
    advice = "one registry a marketplace (SELLERTRUST_REGISTRY) keeps them apart"
    if recalibrate:
        raise ConfigurationWrong(
            f"the champion is of marketplace {champion_marketplace}, the study of {study.marketplace}: it is not"
            f" recalibrated; train without --recalibrate, and {advice}"
        )
    say(f"the champion is of marketplace {champion_marketplace}: not compared; {advice}")
    return None


def finish_job(registry: "Registry", job: "Job", trained: "TrainedModel", *, publish: bool) -> dict[str, Any]:
    """Make the report, publish if asked; return figures, failed gates, digest, and `alias` if published."""
    from training.report.page import render
    from training.report.parts import Reading

    row: dict[str, Any] = {"study": job.study.name, "passed": trained.passed, **figures_of(trained.evaluation)}
    for kind in ("hard", "advisory"):
        broken = [gate["gate"] for gate in trained.gates["gates"] if gate["kind"] == kind and not gate["ok"]]
        row[f"failed_{kind}"] = broken
    row["digest"] = sha256(trained.parts["manifest.json"]).hexdigest()
    json_parts = {name: json.loads(trained.parts[f"{name}.json"]) for name in _REPORTED_PARTS}
    serving_digest = registry.champion_digest()
    is_champion = publish and (
        serving_digest == row["digest"] or (serving_digest is None and becomes_champion(trained.gates, job.study))
    )
    page = render(Reading(**json_parts, gates=trained.gates, digest=row["digest"], is_champion=is_champion)).encode()
    if publish:
        gates = json.dumps(trained.gates, indent=1, sort_keys=True).encode()
        registry.publish(
            trained.parts,
            attachments={"gates.json": gates, "report.html": page},
            actor=login_name(),
            reason=f"trained by {job.study.name}",
            now=wall_clock(),
        )
        row["alias"] = "champion" if registry.champion_digest() == row["digest"] else "challenger"
    row["seconds"] = dict(trained.seconds)
    return row


def becomes_champion(gates: Mapping[str, Any], study: "Study") -> bool:
    """Return whether all gates pass, also advisory ones, and no promise is given up."""
    return all(gate["ok"] for gate in gates["gates"]) and not broken_promises(study.features)


def _show_plan(planned: "PlannedRun", form: Format) -> None:
    if form is Format.JSON:
        emit_one({"lines": dict(planned.lines), **planned.evaluation}, form)
        return
    emit([{"step": step, "says": line} for step, line in planned.lines.items()], form)
    emit([format_estimates({**row, "auc": row["auc"] or "-"}) for row in planned.evaluation["suggested"]], form)
    say("nothing was trained; without --dry-run the other steps follow")


def _show_training(trained: "TrainedModel", row: dict[str, Any], form: Format, seconds: Mapping[str, float]) -> None:
    if form is Format.JSON:
        emit_one({**row, "lines": dict(trained.lines), "gates": trained.gates["gates"]}, form)
        return
    seconds_of_step = {step.partition(" ")[2] if "/" in step else step: duration for step, duration in seconds.items()}
    lines = [
        {"step": step, "seconds": f"{seconds_of_step[step]:.1f}", "says": line} for step, line in trained.lines.items()
    ]
    emit(lines, form)
    gates = [
        {"gate": g["gate"], "kind": g["kind"], "ok": "yes" if g["ok"] else "NO", "says": g["text"]}
        for g in trained.gates["gates"]
    ]
    emit(gates, form)
    emit_one(format_estimates({name: value for name, value in row.items() if name != "seconds"}), form)
    for sentence in compare_plainly(row):
        say(sentence)
    if row.get("alias") == "challenger" and not {"certificate", "parity"} & set(row["failed_hard"]):
        options = " --override NAME" if row["failed_hard"] else ""
        options += " --sign-off NAME" if row["failed_advisory"] else ""
        say(
            f"registered as challenger; to serve it: sellertrust model promote {row['digest'][:12]} --reason WHY{options}"
        )
