"""What training costs beside LightGBM alone, and a million sellers from ledger to registered model."""

import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoring.progress import Progress
from service.cli.progress import StepProgress
from service.cli.train import Training
from service.ledger.database.schema import upgrade
from service.settings import load as load_settings
from tests.bench._crowd import MARKETPLACE, crowd, write_ledger, write_table
from tests.training.ledgers import POLICY, STUDIES
from training.fitting.fit import fit_curves
from training.observation.export import read_export
from training.observation.points import choose_points
from training.observation.snapshots import join, snapshot
from training.pipeline.job import Job
from training.pipeline.run import run
from training.pipeline.steps import NAMES
from training.study.definition import Study
from training.study.loading import load_study

Show = Callable[[str, float], None]


def _study() -> Study:
    return replace(load_study(STUDIES / "marketplace.toml"), name=MARKETPLACE, marketplace=MARKETPLACE)


def over_bare(show: Show, progress: Progress, rows: int) -> None:
    """`lightgbm.train` alone, before and after, against the nine steps, on the same snapshot rows, one model against one.

    Alone: the additive start, the Dataset and as many rounds by the same parameters. Baselines, the unconstrained twin,
    resampling, sampled checks and the second training are left out of the command's time and shown apart. Sellers are a
    third of the rows: the study has four training points, and not all of them were there at each.
    """
    study = _study()
    alone = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crowd.parquet"
        write_table(crowd(int(rows / 2.9)), path)
        started = time.perf_counter()
        table = read_export(path)
        show("train.read_s", _since(started))
        points = choose_points(table, study).train
        for number in range(3):
            if number == 1:
                trained = run(Job(table, study, POLICY, verify=False), progress)
            fitted = join([snapshot(table, study, point) for point in points])
            began = time.perf_counter()
            fit_curves(fitted, study)
            alone.append(time.perf_counter() - began)
            show("train.rows", len(fitted.bad))
            del fitted
        in_all = sum(trained.seconds.values())
        for name in NAMES:
            show(f"train.{name.replace(' ', '_')}_s", trained.seconds[name])
        for name, seconds in trained.apart.items():
            show(f"train.apart.{name.replace(' ', '_')}_s", seconds)
        bare = statistics.median(alone)
        show("train.lightgbm_alone_s", round(bare, 2))
        show("train.whole_s", round(in_all, 2))
        show("train_over_bare", round(in_all / bare, 3))
        show("train.peak_gb", round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2))


def from_ledger(show: Show, sellers: int) -> None:
    """So many sellers from a SQLite ledger to a registered model, as the command does it: everything included."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        settings = load_settings({"SELLERTRUST_DATA_DIR": str(place)})
        upgrade(settings.database_url)
        table = crowd(sellers)
        show("million.entries", len(table))
        write_ledger(table, settings.database_url)
        del table
        study = place / "crowd.toml"
        study.write_text(
            (STUDIES / "marketplace.toml").read_text().replace('marketplace = "demo"', f'marketplace = "{MARKETPLACE}"')
        )
        started = time.perf_counter()
        training = Training(settings, study, verify=False)
        with StepProgress() as progress:
            training.read(None, progress)
            show("million.export_s", _since(started))
            trained = training.run(progress)
        row: dict[str, Any] = training.finish(trained, publish=True, report=None)
        show("million.train_rows", row["train_rows"])
        show("million.ledger_to_model_s", _since(started))
        show("million.peak_gb", round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2))


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 2)
