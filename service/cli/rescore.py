import os
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scoring.base.errors import invalid
from service.bootstrap import open_registry, open_rescoring
from service.cli.options import OfModel
from service.cli.output import Format, Output, emit_one
from service.cli.progress import StepProgress
from service.settings import load

app = typer.Typer()

DAYS = ("today", "tomorrow")


@app.command("rescore")
def rescore(
    day: Annotated[str, typer.Option("--day", metavar="DAY", help="today or tomorrow, in UTC.")] = "today",
    model: OfModel = "champion",
    policy: Annotated[
        str, typer.Option("--policy", metavar="POLICY", help="A file, or the beginning of a committed one's digest.")
    ] = "head",
    processes: Annotated[
        int, typer.Option("--processes", min=0, help="Processes that score; 0: one for each processor.")
    ] = 0,
    output: Output = Format.TABLE,
) -> None:
    """Score all sellers of all marketplaces for one day into one file.

    Servers of this machine with the same data folder use it within seconds. Their answers are exactly those that they
    would compute; sellers with later entries are computed again. Run it each night for `tomorrow`, and with `--model`
    or `--policy` before a promotion, so that servers always have scores. A file can be deleted at any time, at the cost
    of computing. Files of days before yesterday are deleted here.
    """
    from service.scores.rescoring import rescore as write_generation

    if day not in DAYS:
        raise invalid("--day", f"must be {' or '.join(DAYS)}")
    settings = load()
    digest = open_registry(settings).resolve(model)
    began = time.monotonic()
    opened = open_rescoring(settings, digest, policy)
    is_file = Path(policy).is_file()
    open_again = partial(open_rescoring, settings, digest, policy if is_file else opened.scorer.made_by.policy)
    try:
        with StepProgress() as progress:
            number = processes or _processors()
            found = write_generation(opened, open_again, settings.generations, DAYS.index(day), number, progress)
    finally:
        opened.ledger.close()
    row = {
        "file": str(found.path),
        "sellers": found.sellers,
        "sequence": found.head.sequence,
        "model": found.head.model,
        "policy": found.head.policy,
        "bytes": found.path.stat().st_size,
        "seconds": round(time.monotonic() - began, 1),
    }
    emit_one(row, output)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
