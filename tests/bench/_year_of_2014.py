"""The year of 2014 by the commands that an operator runs: import, export, rescoring, and a server that takes it over.

`year.STAGE_s`, `year.STAGE_mb`: seconds and peak memory of a stage. `year.1m.STAGE_s`: at a million sellers, measured, or
of fewer on the line through half and all; the peak likewise.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from sellertrust.client import Client
from service.registry.registry import Registry
from tests.bench._processes import metrics_address
from tests.helpers.models import publish
from tests.helpers.processes import COMMAND
from tests.helpers.shells import MARKET, Shell, serving, shell_of
from tests.helpers.waiting import wait_until

WHOLE = 1_000_000
VIOLATIONS, EXPOSURE_DAYS = 9, 40
"""A seller's: of a million sellers, nine million violations and forty million days."""

MAPPING = f"""
marketplace = "{MARKET}"
[[files]]
path = "exposure.parquet"
[[files.entries]]
kind = "exposure"
entry_id = "exposure-{{seller}}-{{day}}"
seller = "{{seller}}"
day = "{{day}}"
settled_orders = "{{orders}}"
[[files]]
path = "violations.parquet"
[[files.entries]]
kind = "violation"
entry_id = "v{{violation}}"
seller = "{{seller}}"
occur_time = "{{occurred}}"
violation_type = "counterfeit_goods"
harm = "medium"
source = "brand"
"""


def run_year(say: Callable[[str], None], sellers: int) -> dict[str, float]:
    whole = _run(say, sellers)
    at_million = whole
    if sellers != WHOLE:
        half = _run(say, sellers // 2)
        at_million = {
            name: extend_line((sellers // 2, half[name]), (sellers, value), WHOLE) for name, value in whole.items()
        }
    return {
        "year.sellers": sellers,
        "year.entries": sellers * (VIOLATIONS + EXPOSURE_DAYS),
        **{f"year.{name}": value for name, value in whole.items()},
        **{f"year.1m.{name}": value for name, value in at_million.items()},
    }


def extend_line(half: tuple[float, float], whole: tuple[float, float], size: float) -> float:
    """Return the value at `size` on the line through two pairs of (size, value)."""
    slope = (whole[1] - half[1]) / (whole[0] - half[0])
    return round(whole[1] + slope * (size - whole[0]), 1)


def _run(say: Callable[[str], None], sellers: int) -> dict[str, float]:
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="year-") as name:
        folder, data = Path(name), Path(name) / "data"
        data.mkdir()
        publish(Registry(data / "registry"))
        began = time.monotonic()
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # a command's peak begins at its parent's
            pool.submit(_generate, folder, sellers).result()
        found["generate_s"] = round(time.monotonic() - began, 1)
        say(f"{sellers:,} sellers generated in {found['generate_s']} s")
        shell = shell_of(data, metrics_address="127.0.0.1:0", policy="")
        commands = {
            "import": ["ledger", "import", folder / "year.toml", "--rejects", folder / "rejects.csv"],
            "export": ["ledger", "export", folder / "entries", "-m", MARKET],
        }
        for stage, arguments in commands.items():
            found |= _time(shell, stage, arguments)
            say(f"{sellers:,} sellers, {stage}: {found[f'{stage}_s']} s, {found[f'{stage}_mb']:,} MB")
        found["ledger_mb"] = sum(file.stat().st_size for file in data.glob("ledger.db*")) >> 20
        with serving(shell, folder) as address, Client(address) as client:
            page = f"http://{metrics_address(folder / 'server.log')}/metrics"
            found |= _time(shell, "rescore", ["rescore"])
            began = time.monotonic()
            wait_until(lambda: "sellertrust_book_generations 1" in urllib.request.urlopen(page).read().decode(), 600)
            found["swap_s"] = round(time.monotonic() - began, 1)
            assert client.get_trust_score(MARKET, f"s{sellers - 1:07}").points
        say(
            f"{sellers:,} sellers, rescore: {found['rescore_s']} s, {found['rescore_mb']:,} MB; taken: {found['swap_s']} s"
        )
    return found


def _generate(folder: Path, sellers: int) -> None:
    """Each seller's days are the last; its violations lie among them at random. A hundredth have ten times the orders."""
    rng, today = np.random.default_rng(2014), datetime.now(UTC).date()
    names = pl.Series("seller", [f"s{number:07}" for number in range(sellers)])
    days = pl.Series("day", [str(today - timedelta(days=back)) for back in range(EXPOSURE_DAYS, 0, -1)])
    orders = rng.poisson(np.repeat(rng.choice([20, 200], sellers, p=[0.99, 0.01]), EXPOSURE_DAYS))
    pl.DataFrame(
        {
            "seller": names.gather(np.repeat(np.arange(sellers), EXPOSURE_DAYS)),
            "day": days.gather(np.tile(np.arange(EXPOSURE_DAYS), sellers)),
            "orders": orders,
        }
    ).write_parquet(folder / "exposure.parquet")
    pl.DataFrame(
        {
            "violation": pl.Series(range(sellers * VIOLATIONS), dtype=pl.String).str.zfill(8),
            "seller": names.gather(np.repeat(np.arange(sellers), VIOLATIONS)),
            "occurred": days.gather(rng.integers(0, EXPOSURE_DAYS, sellers * VIOLATIONS)),
        }
    ).write_parquet(folder / "violations.parquet")
    (folder / "year.toml").write_text(MAPPING)


def _time(shell: Shell, stage: str, arguments: list[object]) -> dict[str, float]:
    """Return the seconds of a command and the peak memory of its largest process."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env=shell.environment, stdout=subprocess.DEVNULL
    )  # its progress is said
    _, status, used = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, arguments
    return {f"{stage}_s": round(time.monotonic() - began, 1), f"{stage}_mb": used.ru_maxrss >> 10}


if __name__ == "__main__":
    print(run_year(print, int(sys.argv[1])))
