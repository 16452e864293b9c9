"""The supervisor starts the workers of one server, replaces those that end or fall silent, and ends them all.

It owns the port and the port of metrics. A worker that is silent for SILENT_SECONDS is killed:
it may still take connections and answer none.
"""

import os
import select
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from time import monotonic

from prometheus_client import CollectorRegistry

from service.api.listening import listening_error
from service.api.telemetry.logs import Log, make_log
from service.api.telemetry.metrics import MetricsPort
from service.engine.end_requests import EndRequests
from service.setting_forms import PREFIX
from service.settings import Settings, host_and_port
from service.workers.child import COMMAND, Child
from service.workers.gathering import GatheredMetrics
from service.workers.port import holding_port

SILENT_SECONDS = 5.0

START_SECONDS = 60.0
"""While a worker starts."""

TURN_SECONDS = 0.25

LATE_SECONDS = 1.0
"""After a longer turn no worker is judged: this process was held up."""

LASTING_SECONDS = 60.0
"""A worker that lived so long is replaced at once."""

MAX_DELAY_SECONDS = 30.0

END_SECONDS = 25.0
"""In addition to `drain_seconds`: `Server.stop` takes 20."""


@dataclass
class _Place:
    child: Child | None = None
    """None until the next one is due."""
    failures: int = 0
    """Consecutive workers that ended before LASTING_SECONDS."""
    due: float = 0.0
    """In seconds of the monotonic clock."""


class Supervisor:
    """`command` starts a worker."""

    def __init__(self, settings: Settings, log: Log | None = None, command: Sequence[str] = COMMAND) -> None:
        self._settings = settings
        self._log = log or make_log(level=settings.log_level)
        self._command = command
        self._places = {number: _Place() for number in range(1, settings.processes + 1)}
        self._metrics = GatheredMetrics(self._places, self._ask_for_metrics)
        self._address = ""
        self._exit_code = 0
        self._turned = monotonic()

    def run(self, ready: Callable[[str], None]) -> int:
        """Serve until SIGTERM or SIGINT, then drain all workers; return the exit code, 0 if all ended well.

        It needs the main thread. `ready` gets the address once all workers answer calls. A worker that ends before that
        ends all, with its exit code. Raises ConfigurationWrong if an address is taken.
        """
        with ExitStack() as stack:
            requests = stack.enter_context(EndRequests())
            self._address = stack.enter_context(holding_port(self._settings.address))
            metrics = self._offer_metrics(stack)
            code = self._begin(requests)
            if code is None:
                self._log.info(
                    "serving", address=self._address, metrics=metrics, processes=[c.pid for c in self._children()]
                )
                ready(self._address)
                while not self._turn(requests):
                    self._start_due()
            return self._end() or code or 0

    def _begin(self, requests: EndRequests) -> int | None:
        """Start all workers; return None once all answer calls, otherwise the exit code.

        The first one starts alone: it makes the ledger's tables.
        """
        for numbers in ([1], [*self._places][1:]):
            for number in numbers:
                self._start(number)
            while not all(self._is_ready(number) for number in numbers):
                if self._turn(requests):
                    return 0
                for number in self._places:
                    if self._places[number].failures:
                        return max(1, self._exit_code)
        return None

    def _is_ready(self, number: int) -> bool:
        child = self._places[number].child
        return child is not None and bool(child.address)

    def _children(self) -> list[Child]:
        return [place.child for place in self._places.values() if place.child is not None]

    def _start(self, number: int) -> None:
        place = self._places[number]
        place.child, place.due = Child(number, self._environment(number), self._command), inf

    def _start_due(self) -> None:
        for number, place in self._places.items():
            if place.child is None and monotonic() >= place.due:
                self._start(number)

    def _turn(self, requests: EndRequests) -> bool:
        """Replace ended or silent workers; return whether all are to end."""
        by_line = {child.line.fileno(): child for child in self._children()}
        readable = select.select([requests.fileno(), *by_line], [], [], TURN_SECONDS)[0]
        now, before = monotonic(), self._turned
        self._turned = now
        for child in by_line.values():
            metrics = child.read()
            if metrics is None:
                self._replace(child, "ended")
                continue
            if metrics:
                self._metrics.take(child.number, metrics)
            if now - before > LATE_SECONDS + TURN_SECONDS:
                child.heard = now
            elif now - child.heard > (SILENT_SECONDS if child.was_heard else START_SECONDS):
                self._replace(child, "silent")
        return requests.fileno() in readable and requests.take()

    def _replace(self, child: Child, cause: str) -> None:
        place, now = self._places[child.number], monotonic()
        code = child.end(0.0 if cause == "silent" else SILENT_SECONDS)
        self._exit_code = code
        place.child = None
        place.failures = 1 if now - child.started > LASTING_SECONDS else place.failures + 1
        delay = delay_seconds(place.failures)
        place.due = now + delay
        self._metrics.restarts[child.number, cause] += 1
        self._log.error(
            "a process is replaced", process=child.number, pid=child.pid, cause=cause, exit_code=code, in_seconds=delay
        )

    def _end(self) -> int:
        """Drain all workers, kill the late ones; return 1 if any ended badly."""
        children = self._children()
        for child in children:
            child.drain()
        until = monotonic() + self._settings.limits.drain_seconds + END_SECONDS
        codes = [child.end(max(0.0, until - monotonic())) for child in children]
        return int(any(codes))

    def _environment(self, number: int) -> Mapping[str, str]:
        """Return the workers' environment. A Unix socket is for the first one alone."""
        shared = {"ADDRESS": self._address, "METRICS_ADDRESS": ""}
        if number > 1:
            shared["SOCKET"] = ""
        changed = {PREFIX + name: value for name, value in shared.items()}
        return {name: value for name, value in os.environ.items() if name.upper() not in changed} | changed

    def _offer_metrics(self, stack: ExitStack) -> str:
        """Serve the metrics of all workers; return the address; "" if turned off."""
        address = self._settings.metrics_address
        if not address:
            return ""
        registry = CollectorRegistry()
        registry.register(self._metrics)
        try:
            port = MetricsPort(*host_and_port(address), registry)
        except OSError:
            raise listening_error(address, "SELLERTRUST_METRICS_ADDRESS") from None
        stack.callback(port.close)
        return f"{address.rpartition(':')[0]}:{port.port}"

    def _ask_for_metrics(self) -> list[int]:
        children = [child for child in self._children() if child.address]
        for child in children:
            child.ask_for_metrics()
        return [child.number for child in children]


def delay_seconds(failures: int) -> float:
    """Return the wait before a worker is replaced: 0, then 1, 2, 4 s up to MAX_DELAY_SECONDS."""
    return 0.0 if failures <= 1 else min(MAX_DELAY_SECONDS, 2.0 ** (failures - 2))


def supervise(settings: Settings, ready: Callable[[str], None]) -> int:
    return Supervisor(settings).run(ready)
