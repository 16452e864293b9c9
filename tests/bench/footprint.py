"""Files and functions of ours that one warm call enters: a remembered score, a first one, an append, measures, a payout."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from sellertrust.client import Client
from tests.bench._real_data import Say
from tests.helpers.servers import MARKET, days_ago, exposure, identity, running_server, violation
from tests.helpers.worlds import artifact

ROOT = Path(__file__).parents[2]
ROOMS = tuple(f"{ROOT / room}/" for room in ("service", "scoring"))
WARM_CALLS = 20
SETTLE_SECONDS = 0.2
"""A server ends a call shortly after its answer."""


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {}
    profiler = Profiler()
    threading.setprofile(profiler.see)  # before the server starts its threads
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_server(Path(folder), artifact=artifact()) as running,
            running.client() as client,
        ):
            for name, call in _list_calls(client).items():
                for _ in range(WARM_CALLS):
                    call()
                time.sleep(SETTLE_SECONDS)
                with profiler.recording() as entered:
                    call()
                    time.sleep(SETTLE_SECONDS)
                files = {file for file, _ in entered}
                figures |= {f"footprint.{name}.files": len(files), f"footprint.{name}.functions": len(entered)}
                say(f"{name:12} {len(files):3} files {len(entered):4} functions")
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
    return figures


def _list_calls(client: Client) -> dict[str, Callable[[], object]]:
    first, appended = (map(str, count()) for _ in range(2))
    for number in range(WARM_CALLS + 1):
        seller = f"s{number}"
        known = [identity(f"i-{seller}", seller), exposure(f"x-{seller}", seller, 2_000)]
        client.append_entries(MARKET, [*known, violation(f"v-{seller}", seller)])
    order = {"capture_day": days_ago(40).date(), "captured_minor": 10_000, "currency": "EUR", "delivered": True}
    return {
        "first_score": lambda: client.get_trust_score(MARKET, f"s{next(first)}"),
        "remembered": partial(client.get_trust_score, MARKET, "s0"),
        "append": lambda: client.append_entries(MARKET, [violation(f"w-{next(appended)}", "s0")]),
        "measures": partial(client.evaluate_measures, MARKET, "s1"),
        "payout": partial(client.evaluate_payout, MARKET, "s1", **order),
    }


class Profiler:
    def __init__(self) -> None:
        self._entered: set[tuple[str, str]] = set()
        self._is_recording = False
        self._depths = threading.local()

    @contextmanager
    def recording(self) -> Iterator[set[tuple[str, str]]]:
        self._entered = set()
        self._is_recording = True
        try:
            yield self._entered
        finally:
            self._is_recording = False

    def see(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call, unless a function of ours that began before the recording runs around it."""
        if event not in ("call", "return") or not frame.f_code.co_filename.startswith(ROOMS):
            return
        of = self._depths.__dict__
        if event == "return":
            of["depth"] = max(of.get("depth", 0) - 1, 0)
            return
        if of.get("depth", 0) == 0:
            of["is_noted"] = self._is_recording
        of["depth"] = of.get("depth", 0) + 1
        name = frame.f_code.co_qualname
        if of["is_noted"] and self._is_recording and not frame.f_code.co_name.startswith("<"):
            self._entered.add((frame.f_code.co_filename, name))
