"""Rolling restarts of two servers under load, with the client's published configuration: no call may fail."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.bench._overload import Show
from tests.helpers.filled import SELLERS, prepare
from tests.helpers.load import Plan, loading
from tests.helpers.processes import COMMAND
from tests.helpers.shells import shell_of

RESTARTS = 30
PROCESSES = 2
AT_A_TIME = 4
DEADLINE_SECONDS = 5.0
START_SECONDS = 60.0
PAUSE_SECONDS = 3.0
"""The client looks for a missing server every 2.4 s at the latest."""


class Restarted:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._ready = folder / "ready"
        self._log = folder / "server.log"
        shell = shell_of(folder, address=self.address)
        self._environment = shell.environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*COMMAND, "serve", "--ready-file", self._ready], env=self._environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(self._log.read_text())
            time.sleep(0.02)

    def stop(self) -> int:
        if self._process is None:
            return 0
        self.begin_to_stop()
        return self._process.wait(timeout=START_SECONDS)

    def begin_to_stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def run(show: Show, count: int = RESTARTS) -> None:
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name) / "first", Path(name) / "second"
        first.mkdir()
        prepare(first)
        shutil.copytree(first, second)
        servers = [Restarted(first), Restarted(second)]
        began = time.monotonic()
        failed_ends = 0
        try:
            for server in servers:
                server.start()
            start_seconds = (time.monotonic() - began) / 2
            plan = Plan(
                "ipv4:" + ",".join(server.address for server in servers),
                seconds=count * (start_seconds + PAUSE_SECONDS + 2) + 5,
                at_a_time=AT_A_TIME,
                deadline_seconds=DEADLINE_SECONDS,
                sellers=SELLERS,
                is_published=True,
            )
            with loading([plan] * PROCESSES) as found:
                began, done = time.monotonic(), 0
                while done < count and time.monotonic() - began < plan.seconds:
                    server = servers[done % 2]
                    failed_ends += server.stop() != 0
                    server.start()
                    time.sleep(PAUSE_SECONDS)
                    done += 1
        finally:
            for server in servers:
                server.kill()
    codes = sum((Counter(one.codes) for one in found), Counter[str]())
    show("restarts.tries", done)
    show("restarts.calls", codes.total())
    show("restarts.failed", codes.total() - codes["OK"])
    show("restarts.ended_badly", failed_ends)
    for code, number in sorted(codes.items()):
        if code != "OK":
            show(f"restarts.{code.lower()}", number)
