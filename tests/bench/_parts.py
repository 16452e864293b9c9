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
    "convert": "service.api.ledger_servicer:entries_of",
    "rest": "service.ledger.store:Ledger.append",
    "validate_canonical": "service.ledger.store:prepare_batch",
    "dedupe_query": "service.ledger.append.appending:_known",
    "standings_query": "service.ledger.append.batch:load_known",
    "sealing": "service.ledger.append.batch:seal_texts",
    "insert_leaves": "service.ledger.database.database:Database.insert",
    "seal": "service.ledger.append.batch:seal",
    "commit": "sqlalchemy.engine.default:DefaultDialect.do_commit",
}
"""What is timed, as module:name. `rest`: of an append the lock, the rows, the results."""


class Timers:
    """Seconds by part, without those of the parts within. `missing` names functions that are there no more."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._within = threading.local()
        self._targets: list[tuple[str, Any, str]] = []
        self.missing: list[str] = []
        for part, place in PARTS.items():
            if found := _found(place):
                self._targets.append((part, *found))
            else:
                self.missing.append(place)

    @contextmanager
    def running(self, outside: str) -> Iterator[None]:
        """Adds up what happens within, in this and in every other thread; what no part holds is called `outside`."""
        for part, holder, name in self._targets:
            setattr(holder, name, self._timed(part, getattr(holder, name)))
        try:
            started, before = time.perf_counter(), sum(self.seconds.values())
            yield
            took = time.perf_counter() - started
            self.seconds[outside] += took - (sum(self.seconds.values()) - before)
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


def _found(place: str) -> tuple[Any, str] | None:
    """(holder, name) of a function; None if it is there no more."""
    module, _, path = place.partition(":")
    *outer, name = path.split(".")
    try:
        holder: Any = importlib.import_module(module)
    except ModuleNotFoundError:
        return None
    for step in outer:
        holder = getattr(holder, step, None)
    return (holder, name) if hasattr(holder, name) else None
