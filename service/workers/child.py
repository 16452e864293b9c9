import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

from service.workers.link import DRAIN, METRICS, Line

_CLI = __package__.replace("workers", "cli")
COMMAND = (sys.executable, "-P", "-c", f"from {_CLI} import main; main()", "serve", "--worker")
"""Given its number and its socket's descriptor; gRPC and threads do not survive a fork."""


class Child:
    """Only `ask_for_metrics` is thread-safe."""

    def __init__(self, number: int, environment: Mapping[str, str], command: Sequence[str] = COMMAND) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(number), str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the supervisor
            )
        self.line = Line(ours)
        self.number = number
        """From 1 on; the worker's replacement gets the same number."""
        self.started = self.heard = monotonic()
        """In seconds of the monotonic clock."""
        self.was_heard = False
        self.address = ""
        self.is_draining = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> str | None:
        """Read the worker's messages, note its address and that it was heard, and return its new metrics: "" without
        any, None if it has ended.
        """
        messages, is_there = self.line.read()
        metrics = ""
        for message in messages:
            self.heard, self.was_heard = monotonic(), True
            self.address = message.get("address", self.address)
            metrics = message.get("metrics", metrics)
        return metrics if is_there else None

    def ask_for_metrics(self) -> None:
        self.line.ask(METRICS)

    def drain(self) -> None:
        self.is_draining = True
        self.line.ask(DRAIN)

    def end(self, seconds: float = 0.0) -> int:
        """Wait at most `seconds`, then kill it and its children; return its exit code."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.line.close()
        return self._process.wait()
