"""A worker process as the one that started it knows it: started anew, not forked, and ended with all that it started."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

from service.workers.link import DRAIN, METRICS, Line

COMMAND = (sys.executable, "-P", "-c", "from service.cli import main; main()", "serve", "--worker")
"""What starts a worker, given its number and the descriptor of its socket. gRPC, and threads, do not survive a fork."""


class Child:
    """One worker, from its start to its end. Not for several threads at once, but for `ask_for_metrics`."""

    def __init__(self, number: int, environment: Mapping[str, str], command: Sequence[str] = COMMAND) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(number), str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the process that started it, which then ends it once
            )
        self.line = Line(ours)
        """What it says."""
        self.number = number
        """Its number, from 1 on, which the worker that replaces it has again."""
        self.started = self.heard = monotonic()
        """When it was started, and last heard, in seconds of the monotonic clock."""
        self.was_heard = False
        """Whether it was ever heard."""
        self.address = ""
        """Where it answers calls; empty until it does."""
        self.is_draining = False
        """Whether it was asked to end."""

    @property
    def pid(self) -> int:
        """Return the id of its process."""
        return self._process.pid

    def read(self) -> str | None:
        """Take in what it has said; return its metrics if they are among it, "" if nothing is, None if it has ended."""
        messages, is_there = self.line.read()
        metrics = ""
        for message in messages:
            self.heard, self.was_heard = monotonic(), True
            self.address = message.get("address", self.address)
            metrics = message.get("metrics", metrics)
        return metrics if is_there else None

    def ask_for_metrics(self) -> None:
        """Ask it for its metrics, which `read` returns once they have come."""
        self.line.ask(METRICS)

    def drain(self) -> None:
        """Ask it to end without losing a call."""
        self.is_draining = True
        self.line.ask(DRAIN)

    def end(self, seconds: float = 0.0) -> int:
        """Wait at most `seconds` for its end, kill it and whatever it started then, and return its exit code."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with suppress(ProcessLookupError):  # also what it left behind: a process in which it tried a model
            os.killpg(self.pid, signal.SIGKILL)
        self.line.close()
        return self._process.wait()
