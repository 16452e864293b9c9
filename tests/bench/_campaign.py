"""The campaign of 2014, 90 million violations of 1 million sellers, as throughput; and `verify` on the way."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from service.ledger.store import Ledger
from tests.bench._durable import BACKENDS, new_databases, size_bytes
from tests.bench._history import label
from tests.bench._workload import MARKETPLACE, violations

VIOLATIONS, SELLERS = 90_000_000, 1_000_000
BATCH = 10_000
STEP = 500_000
ROOT = Path(__file__).parents[2]


def campaign(
    folder: Path, rows: int, verify_rows: int, show: Callable[[str, float], None], progress: Callable[..., None]
) -> None:
    """Appends `rows` violations for real, and says by the trend of the time a row how long 90 million take.

    The trend is a + b log2(entries): an index grows deeper by the logarithm. What it cannot know is the step when the
    indexes outgrow the memory. Only the appends are timed.
    """
    for backend in BACKENDS:
        place = folder / f"campaign-{backend}"
        place.mkdir()
        with ExitStack() as stack:
            url = stack.enter_context(new_databases(backend, place))()
            empty = size_bytes(url)
            with Ledger.open(url) as ledger:
                steps = _append(ledger, backend, url, rows, verify_rows, show, progress)
            per_entry = (size_bytes(url) - empty) / rows
        _extrapolate(backend, steps, show)
        show(f"campaign_bytes_per_entry.{backend}", round(per_entry))
        show(f"campaign_gb_{label(VIOLATIONS)}.{backend}", round(per_entry * VIOLATIONS / 1e9, 1))


def _append(
    ledger: Ledger,
    backend: str,
    url: str,
    rows: int,
    verify_rows: int,
    show: Callable[[str, float], None],
    progress: Callable[..., None],
) -> list[tuple[int, float]]:
    """(entries there, microseconds a row) of each step."""
    step = min(STEP, rows // 10)
    steps: list[tuple[int, float]] = []
    seconds = 0.0
    for first in range(0, rows, BATCH):
        batch = violations(first, BATCH, SELLERS)
        started = time.perf_counter()
        ledger.append(MARKETPLACE, batch, imported=True)
        seconds += time.perf_counter() - started
        there = first + BATCH
        progress(f"campaign on {backend}", there, rows)
        if there % step == 0:
            steps.append((there, seconds / step * 1e6))
            show(f"campaign_rows_per_s.{backend}.at_{label(there)}", round(step / seconds))
            seconds = 0.0
        if there == verify_rows:
            _verify(backend, url, verify_rows, show)
    return steps


def _extrapolate(backend: str, steps: list[tuple[int, float]], show: Callable[[str, float], None]) -> None:
    there = np.array([entries for entries, _ in steps], dtype=np.float64)
    us = np.array([us for _, us in steps])
    slope, start = np.polyfit(np.log2(there), us, 1)
    at = np.arange(STEP, VIOLATIONS + 1, STEP, dtype=np.float64)
    trend = start + max(slope, 0.0) * np.log2(at) if slope > 0 else np.full(len(at), us.mean())
    show(f"campaign_us_per_row.{backend}", round(float(us.mean()), 2))
    show(f"campaign_us_per_row_and_doubling.{backend}", round(float(slope), 2))
    show(f"campaign_hours.{backend}", round(float(trend.sum()) * STEP / 3.6e9, 2))
    show(f"campaign_hours_at_last_rate.{backend}", round(float(us[-1]) * VIOLATIONS / 3.6e9, 2))


def _verify(backend: str, url: str, rows: int, show: Callable[[str, float], None]) -> None:
    """In a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "tests.bench._verify", url]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    if found["entries"] != rows or found["mismatch"]:
        raise RuntimeError(f"verify of {rows:,} entries found {found}")
    show(f"verify_{label(rows)}_seconds.{backend}", round(found["seconds"], 2))
    show(f"verify_{label(rows)}_peak_mb.{backend}", round(found["peak_kb"] / 1024, 1))
