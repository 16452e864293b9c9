"""Where the time of an append goes: exclusive seconds by part, by timers around the functions that do the parts."""

import importlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

PARTS = {
    "rest": ("service.ledger.store:Ledger.append",),
    "validate_canonical": ("service.ledger.store:prepare_batch",),
    "dedupe_query": ("service.ledger.appending:_known",),
    "standings_query": ("service.ledger.appending:_standings",),
    "insert": ("service.ledger.database:Database.insert",),
    "seal": ("service.ledger.appending:seal",),
    "commit": ("sqlalchemy.engine.default:DefaultDialect.do_commit",),
}
"""What is timed, as module:name. `rest`: of an append the lock, the rows, the results. Outside of it: `parse_map`."""


class Timers:
    """Seconds by part, without those of the parts within. `missing` names functions that are there no more."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._within = threading.local()
        self._targets: list[tuple[str, Any, str]] = []
        self.missing: list[str] = []
        for part, places in PARTS.items():
            for place in places:
                module, _, path = place.partition(":")
                holder: Any = importlib.import_module(module)
                *outer, name = path.split(".")
                for step in outer:
                    holder = getattr(holder, step, None)
                if hasattr(holder, name):
                    self._targets.append((part, holder, name))
                else:
                    self.missing.append(place)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Adds up what happens within."""
        for part, holder, name in self._targets:
            setattr(holder, name, self._timed(part, getattr(holder, name)))
        try:
            with self._part("parse_map"):
                yield
        finally:
            for _, holder, name in self._targets:
                setattr(holder, name, getattr(holder, name).__wrapped__)

    def take(self) -> dict[str, float]:
        """The seconds so far, and begins anew."""
        seconds, self.seconds = dict(self.seconds), defaultdict(float)
        return seconds

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self._part(part):
                return function(*arguments, **options)

        return timed

    @contextmanager
    def _part(self, part: str) -> Iterator[None]:
        outer: list[float] | None = getattr(self._within, "inner", None)
        inner = self._within.inner = [0.0]  # seconds of the parts within this one
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.seconds[part] += took - inner[0]
            if outer is not None:
                outer[0] += took
            self._within.inner = outer
