"""Kill -9 at random points while entries come in."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from service.ledger.store import Ledger
from tests.bench._fault_writer import BATCH
from tests.bench._faults import Sizes, breaches

AN_APPEND_SECONDS = 0.02
"""About how long one append takes: a kill comes at any point within."""


def kill(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """A writer killed at random points, spread over all of its entries, and started again from what it had acknowledged."""
    last = max(sizes.kill_entries // BATCH, 1)
    acknowledged = kills = 0
    for point in sorted(chance.choices(range(max(last * 9 // 10, 1)), k=sizes.kills)):
        acknowledged, killed = _write(url, acknowledged, last, chance, point)
        kills += killed
    while acknowledged < last:
        acknowledged, _ = _write(url, acknowledged, last, chance, None)
    with Ledger.open(url) as ledger:
        found = breaches(ledger, set(range(1, last + 1)))
    return {"tries": kills, "acknowledged": acknowledged * BATCH} | found


def _write(url: str, acknowledged: int, last: int, chance: random.Random, point: int | None) -> tuple[int, bool]:
    """Runs a writer on from what is acknowledged; kills it after batch `point`. (acknowledged, whether killed)."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.bench._fault_writer", url, str(acknowledged + 1), str(last)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert writer.stdout is not None
    is_killed = False
    for line in iter(writer.stdout.readline, ""):
        if line.endswith("\n"):
            acknowledged = max(acknowledged, int(line))
        if point is not None and acknowledged >= point and not is_killed:
            time.sleep(chance.uniform(0, AN_APPEND_SECONDS))
            is_killed = writer.poll() is None
            os.kill(writer.pid, signal.SIGKILL)
    code = writer.wait()
    writer.stdout.close()
    assert point is not None or code == 0, "the writer ended by itself"
    return acknowledged, is_killed and code == -signal.SIGKILL
