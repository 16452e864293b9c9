"""Kill -9 at random points while entries come in."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from service.ledger import Ledger
from tests.bench._faults import Sizes, breaches
from tests.bench._faults.writer import BATCH

AN_APPEND_SECONDS = 0.02
"""About how long one append takes: a kill comes at any point within."""


def kill(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """A writer killed at random points, spread over all of its entries, and started again from what it had acknowledged."""
    last = max(sizes.kill_entries // BATCH, 1)
    acknowledged = 0
    kills = 0
    for _ in range(sizes.kills):
        if acknowledged >= last:
            break
        acknowledged, killed = _write(url, acknowledged, last, chance, chance.randrange(2 * last // sizes.kills + 1))
        kills += killed
    while acknowledged < last:
        acknowledged, _ = _write(url, acknowledged, last, chance, None)
    with Ledger.open(url) as ledger:
        found = breaches(ledger, set(range(1, last + 1)))
    return {"tries": kills, "acknowledged": acknowledged * BATCH} | found


def _write(url: str, acknowledged: int, last: int, chance: random.Random, batches: int | None) -> tuple[int, bool]:
    """Runs a writer on from what is acknowledged; kills it after so many more batches. (acknowledged, whether killed)."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.bench._faults.writer", url, str(acknowledged + 1), str(last)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert writer.stdout is not None
    begun = acknowledged
    is_killed = False
    for line in iter(writer.stdout.readline, ""):
        if line.endswith("\n"):
            acknowledged = max(acknowledged, int(line))
        if batches is not None and acknowledged >= begun + batches and not is_killed:
            time.sleep(chance.uniform(0, AN_APPEND_SECONDS))
            is_killed = writer.poll() is None
            os.kill(writer.pid, signal.SIGKILL)
    code = writer.wait()
    writer.stdout.close()
    assert batches is not None or code == 0, "the writer ended by itself"
    return acknowledged, is_killed and code == -signal.SIGKILL
