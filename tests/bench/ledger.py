"""The ledger under kill -9, crashes of PostgreSQL and full disks.

By fault and database: `tries`, `acknowledged` entries, and figures that must be 0. `--only NAME`: one part.
`BENCH_SEED` repeats a run.
"""

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench._faults import Unable, disk_full, kill, restart
from tests.bench._real_data import Say
from tests.helpers.databases import BACKENDS


def run(say: Say, only: str = "") -> dict[str, float]:
    seed = int(os.environ.get("BENCH_SEED", random.SystemRandom().randrange(1 << 31)))
    random.seed(seed)
    figures: dict[str, float] = {"seed": seed}
    for name, measure in PARTS.items():
        for backend in BACKENDS if only in {"", name} else ():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = measure(backend, Path(folder))
                except Unable as reason:
                    say(f"  {name}.{backend}: not run: {reason}")
                    continue
            say(f"  {name}.{backend}: {found}")
            figures |= {f"{name}.{backend}.{key}": value for key, value in found.items()}
    return figures


PARTS: dict[str, Callable[[str, Path], dict[str, float]]] = {
    "kill": kill,
    "restart": restart,
    "disk_full": disk_full,
}
