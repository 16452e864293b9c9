"""The ledger under kill -9, retries, jumping clocks, tampering, replays, restarts and full disks: nothing lost or unseen."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench._faults import MUST_BE_0, SHORT, Sizes, Unable
from tests.bench._faults.clients import clock, retry
from tests.bench._faults.filling import disk_full
from tests.bench._faults.killing import kill
from tests.bench._faults.replaying import replay
from tests.bench._faults.restarting import restart
from tests.bench._faults.tampering import tamper
from tests.bench._real_data import Say
from tests.databases import BACKENDS, database

__all__ = ["MUST_BE_0", "SHORT", "Sizes", "Unable", "run"]

Fault = Callable[[str, Sizes, random.Random], dict[str, int]]
FAULTS: Mapping[str, Fault] = {"kill": kill, "retry": retry, "clock": clock, "tamper": tamper, "replay": replay}
WITH_PLACES: Mapping[str, Callable[[str, Path, Sizes, random.Random], dict[str, int]]] = {
    "restart": restart,
    "disk_full": disk_full,
}
"""Faults that need a server or a disk of their own."""

NAMES = (*FAULTS, *WITH_PLACES)


def run(say: Say, sizes: Sizes | None = None, seed: int | None = None) -> dict[str, float]:
    """Figures by fault and database, such as `kill.sqlite.lost`; those that end in one of MUST_BE_0 must be 0.

    FAULTS_ONLY=kill,tamper runs some of them, FAULTS_SEED repeats a run, and see `Sizes`.
    """
    sizes = sizes or Sizes.of_environment()
    seed = int(os.environ.get("FAULTS_SEED", random.SystemRandom().randrange(1 << 31))) if seed is None else seed
    say(f"seed {seed}")
    figures: dict[str, float] = {"seed": seed}
    for name in os.environ.get("FAULTS_ONLY", ",".join(NAMES)).split(","):
        for backend in BACKENDS:
            try:
                figures |= run_one(say, name, backend, sizes, seed)
            except Unable as reason:
                say(f"  {name}.{backend}: not run: {reason}")
    return figures


def run_one(say: Say, name: str, backend: str, sizes: Sizes, seed: int) -> dict[str, float]:
    """The figures of one fault on one database. Unable says why this machine cannot bring it about."""
    started = time.perf_counter()
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        if name in WITH_PLACES:
            found = WITH_PLACES[name](backend, Path(folder), sizes, chance)
        else:
            with database(backend, Path(folder)) as url:
                found = FAULTS[name](url, sizes, chance)
    key = f"{name}.{'postgres' if backend == 'postgresql' else backend}"
    say(f"  {key:18} {found}  {time.perf_counter() - started:.0f} s")
    return {f"{key}.{part}": value for part, value in found.items()}
