"""Cancelled calls: whether a server's memory grows with the number of calls, a part of which their callers give up."""

import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.bench._load import Plan, loading
from tests.bench._overload import SELLERS, Show, prepare
from tests.service.shells import serving, shell_of

SHARE = 0.05
PROCESSES = 4
SECONDS = float(os.environ.get("CANCELLED_SECONDS", "100"))
"""For how long calls are made; the number of calls is a figure."""

WARM_SHARE = 0.3
"""The share of the time after which memory is first looked at."""


def run(show: Show, seconds: float = SECONDS) -> None:
    """Memory after all calls less that after the first part, in MB, and how many calls there were."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        with serving(shell_of(folder), folder) as address:
            [server] = [
                process for process in psutil.Process().children(recursive=True) if "serve" in process.cmdline()
            ]
            plan = Plan(address, seconds, at_a_time=8, deadline_seconds=10, cancelled_share=SHARE, sellers=SELLERS)
            began = time.monotonic()
            with loading([plan] * PROCESSES) as found:
                time.sleep(seconds * WARM_SHARE)
                early, calls_from = server.memory_info().rss, time.monotonic() - began
            late = server.memory_info().rss
    codes = sum((Counter(one.codes) for one in found), Counter[str]())
    show("cancelled.tries", sum(one.tries for one in found))
    show("cancelled.cancelled", codes["CANCELLED"])
    show("cancelled.failed", codes.total() - codes["OK"] - codes["CANCELLED"])
    show("cancelled.seconds_before_first_look", round(calls_from, 1))
    show("cancelled.memory_mb", round(late / 1e6, 1))
    show("cancelled.growth_mb", round((late - early) / 1e6, 1))
