import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import invalid
from service.bootstrap import open_registry, open_rescoring
from service.cli.options import DAYS, Day, OfModel, OfPolicy, Scale
from service.cli.output import Format, Output, emit, emit_one
from service.cli.progress import StepProgress
from service.settings import load

if TYPE_CHECKING:
    from service.scale.rescoring import Run


def rescore(
    day: Day = "today",
    model: OfModel = "champion",
    policy: OfPolicy = "head",
    processes: Annotated[
        int, typer.Option("--processes", min=0, help="Processes that score; 0: one for each processor.")
    ] = 0,
    master: Annotated[
        str | None,
        typer.Option(
            "--master", metavar="MASTER", help="Score on Spark: local[N], spark://HOST:PORT or sc://HOST:PORT."
        ),
    ] = None,
    store: Scale = None,
    plans: Annotated[
        bool, typer.Option("--plan", help="Only export, and write a manifest of tasks for each marketplace.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Score all sellers of all marketplaces for one day into one file.

    Servers of this machine with the same data folder use it within seconds. They answer from it exactly as if they had
    computed; sellers with later entries are computed again. Run it each night for `tomorrow`, and with `--model`
    or `--policy` before a promotion, so that servers always have scores. A file can be deleted at any time, at the cost
    of computing. Files of days before yesterday are deleted here.

    It exports entries and scores them in tasks. The scores also stay as Parquet in the store. An interrupted command
    goes on when you repeat it.

    With --plan any engine may run the lines of the manifests by the command task, in any order and more than once: xargs,
    a Kubernetes Job, Spark. The same command without --plan then runs the other lines, and makes the servers' file.
    """
    from service.scale import rescoring
    from service.scale.drivers import find_driver
    from service.shared_files import Store

    if plans and (processes or master):
        raise invalid("--plan", "runs no task; leave out --processes and --master")
    settings = load()
    digest = open_registry(settings).resolve(model)
    began = time.monotonic()
    opened, place = open_rescoring(settings, digest, policy), Store(store or settings.scale)
    with opened.ledger, StepProgress() as progress:
        if plans:
            _, runs = rescoring.plan_runs(opened, place, DAYS.index(day), progress)
            emit([_describe_run(run) for run in runs], output)
            return
        driver = find_driver(processes, master)
        generation = rescoring.rescore(opened, settings.generations, place, DAYS.index(day), driver, progress)
    row = {
        "file": str(generation.path),
        "sellers": generation.sellers,
        "sequence": generation.head.sequence,
        "model": generation.head.model,
        "policy": generation.head.policy,
        "bytes": generation.path.stat().st_size,
        "seconds": round(time.monotonic() - began, 1),
    }
    emit_one(row, output)


def _describe_run(run: "Run") -> dict[str, Any]:
    return {
        "marketplace": run.manifest.marketplace,
        "lines": len(run.manifest.tasks),
        "entries": run.manifest.rows,
        "memory_mb": run.manifest.memory_bytes >> 20,
        "manifest": f"{run.store.place}/manifest.jsonl",
    }
