import time
from typing import Annotated

import typer

from service.bootstrap import open_registry, open_rescoring
from service.cli.options import DAYS, Day, OfModel, OfPolicy, Scale
from service.cli.output import Format, Output, emit_one
from service.cli.progress import StepProgress
from service.settings import load

app = typer.Typer()


@app.command("rescore")
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
    output: Output = Format.TABLE,
) -> None:
    """Score all sellers of all marketplaces for one day into one file.

    Servers of this machine with the same data folder use it within seconds. They answer from it exactly as if they had
    computed; sellers with later entries are computed again. Run it each night for `tomorrow`, and with `--model`
    or `--policy` before a promotion, so that servers always have scores. A file can be deleted at any time, at the cost
    of computing. Files of days before yesterday are deleted here.

    It exports entries and scores them in tasks, as task plan does. The scores also stay as Parquet in the store. An
    interrupted command goes on when you repeat it.
    """
    from service.scale import rescoring
    from service.scale.drivers import find_driver
    from service.shared_files import Store

    settings = load()
    digest = open_registry(settings).resolve(model)
    began = time.monotonic()
    opened = open_rescoring(settings, digest, policy)
    driver = find_driver(processes, master)
    try:
        with StepProgress() as progress:
            where = Store(store or settings.scale)
            generation = rescoring.rescore(opened, settings.generations, where, DAYS.index(day), driver, progress)
    finally:
        opened.ledger.close()
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
