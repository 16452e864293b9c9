"""Training: beside LightGBM alone, a million sellers, the report, swaps under load, damaged artifacts.

Sizes are set by environment variables, for a quick run:

    BENCH_TRAINING_PARTS      train,million,report,swap,artifacts    what to run
    BENCH_TRAINING_ROWS       1000000     snapshot rows of `train`
    BENCH_TRAINING_SELLERS    1000000     sellers of `million`
    BENCH_TRAINING_SWAPS      200         promotions under load
    BENCH_TRAINING_ARTIFACTS  10000       damaged or poisoned artifacts
"""

import os
import sys
from contextlib import ExitStack

from service.cli.progress import StepProgress
from tests.bench import _artifacts, _report, _swaps, _train
from tests.bench._real_data import Say


def run(say: Say) -> dict[str, float]:
    """Figures of the parts that are asked for."""
    figures: dict[str, float] = {}

    def show(name: str, value: float) -> None:
        figures[name] = value
        say(f"  {name:44} {value:,}")

    parts = os.environ.get("BENCH_TRAINING_PARTS", "train,million,report,swap,artifacts").split(",")
    with ExitStack() as stack:
        progress = stack.enter_context(StepProgress()) if sys.stderr.isatty() else _unseen
        if "train" in parts:
            _train.over_bare(show, progress, _size("ROWS", 1_000_000))
        if "million" in parts:
            _train.from_ledger(show, _size("SELLERS", 1_000_000))
        if "report" in parts:
            _report.run(show, progress)
        if "swap" in parts:
            _swaps.run(show, progress, _size("SWAPS", 200))
        if "artifacts" in parts:
            _artifacts.run(show, progress, _size("ARTIFACTS", 10_000))
    return figures


def _size(name: str, default: int) -> int:
    return int(os.environ.get(f"BENCH_TRAINING_{name}", default))


def _unseen(step: str, done: int, total: int) -> None:
    """Progress where there is no terminal."""
