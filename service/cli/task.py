from typing import Annotated, Any

import typer

from service.bootstrap import open_registry, open_rescoring
from service.cli.options import DAYS, Day, OfModel, OfPolicy, Scale
from service.cli.output import Format, Output, emit, emit_one
from service.cli.progress import StepProgress
from service.settings import load

app = typer.Typer(no_args_is_help=True)


@app.command("plan")
def plan(
    day: Day = "today",
    model: OfModel = "champion",
    policy: OfPolicy = "head",
    store: Scale = None,
    output: Output = Format.TABLE,
) -> None:
    """Export what is new, and write the manifests of a rescoring: one of each marketplace, one line a task.

    Any engine may then run the lines by task run, in any order and more than once: xargs, a Kubernetes Job, Spark. Then
    sellertrust rescore with the same options runs the other lines, and makes the servers' file.
    """
    from service.scale.rescoring import plan_runs
    from service.shared_files import Store

    settings = load()
    opened = open_rescoring(settings, open_registry(settings).resolve(model), policy)
    with opened.ledger, StepProgress() as progress:
        _, runs = plan_runs(opened, Store(store or settings.scale), DAYS.index(day), progress)
    rows: list[dict[str, Any]] = [
        {
            "marketplace": run.manifest.marketplace,
            "lines": len(run.manifest.tasks),
            "entries": run.manifest.rows,
            "memory_mb": run.manifest.memory_bytes >> 20,
            "manifest": f"{run.store.place}/manifest.jsonl",
        }
        for run in runs
    ]
    emit(rows, output)


@app.command("run")
def run(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="File or URL, as task plan shows it.")],
    line: Annotated[int, typer.Argument(metavar="LINE", min=1, help="Number of the task, from 1 on.")],
    output: Output = Format.TABLE,
) -> None:
    """Run one task of a manifest: score the sellers of its files, and commit them by a receipt.

    Repeating it changes nothing. It needs neither the ledger nor the settings.
    """
    from service.scale.manifest import MANIFEST
    from service.scale.task import run_task

    emit_one(run_task(manifest.removesuffix(f"/{MANIFEST}"), line)._asdict(), output)
