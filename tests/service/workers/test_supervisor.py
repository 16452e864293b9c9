"""The supervisor starts, watches and ends processes, which only report that they live."""

import json
import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong
from service.api.telemetry.logs import make_log
from service.settings import load
from service.workers import child as childhood
from service.workers import supervisor as supervising
from service.workers.gathering import merge_metrics
from service.workers.link import WorkerLink
from service.workers.port import holding_port
from service.workers.supervisor import Supervisor, delay_seconds
from tests.helpers.waiting import wait_until

CHILD = """
import os, signal, socket, sys, threading, time
from service.workers.link import WorkerLink
number, descriptor = int(sys.argv[1]), int(sys.argv[2])
over = threading.Event()
link = WorkerLink(socket.socket(fileno=descriptor), over.set)
with open("children", "a") as file:
    file.write(f"{number} {os.getpid()} {os.environ.get('SELLERTRUST_SOCKET')}\\n")
if os.path.exists(f"refuse-{number}"):
    sys.exit(6)
link.tell_ready(os.environ["SELLERTRUST_ADDRESS"], lambda: b"")
while not over.wait(0.05):
    if os.path.exists(f"stop-{number}"):
        os.unlink(f"stop-{number}")
        os.kill(os.getpid(), signal.SIGSTOP)
    if os.path.exists(f"crash-{number}"):
        os.unlink(f"crash-{number}")
        os._exit(3)
"""


class Run:
    def __init__(self, folder: Path, beside, **settings: object) -> None:
        self._folder = folder
        self._beside = beside
        self.log = StringIO()
        base = {"address": "127.0.0.1:0", "metrics_address": "", "processes": 2}
        base["database_url"] = "postgresql://nobody@127.0.0.1/none"
        values = base | settings
        command = [sys.executable, "-c", CHILD]
        self.supervisor = Supervisor(
            load({f"SELLERTRUST_{name.upper()}": str(value) for name, value in values.items()}),
            make_log("json", "info", self.log),
            command,
        )
        self.failure: BaseException | None = None

    def children(self) -> list[list[str]]:
        path = self._folder / "children"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def __call__(self) -> int:
        def work() -> None:
            try:
                self._beside(self)
            except BaseException as error:  # noqa: BLE001 (also what pytest raises)
                self.failure = error
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        code = self.supervisor.run(lambda _: threading.Thread(target=work).start())
        if self.failure is not None:
            raise self.failure
        return code

    def replaced(self) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == "a process is replaced"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "proto")]))
    monkeypatch.chdir(tmp_path)


@pytest.mark.long
def test_a_process_that_ends_is_replaced(tmp_path: Path) -> None:
    """A process that ends is replaced at once and the next times after a while."""

    def beside(run: Run) -> None:
        for count in (3, 4):
            (tmp_path / "crash-2").touch()
            wait_until(lambda count=count: len(run.children()) == count)

    run = Run(tmp_path, beside)
    assert run() == 0
    assert [child[0] for child in run.children()] == ["1", "2", "2", "2"]
    assert [(line["exit_code"], line["in_seconds"]) for line in run.replaced()] == [(3, 0.0), (3, 1.0)]
    assert [delay_seconds(failures) for failures in range(1, 9)] == [0, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.long
def test_a_silent_process_is_killed_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is not heard any more is killed and replaced."""
    monkeypatch.setattr(supervising, "SILENT_SECONDS", 3.0)

    def beside(run: Run) -> None:
        (tmp_path / "stop-1").touch()
        wait_until(lambda: len(run.children()) == 3)

    run = Run(tmp_path, beside)
    assert run() == 0
    [line] = run.replaced()
    assert (line["process"], line["cause"], line["exit_code"]) == (1, "silent", -signal.SIGKILL)


@pytest.mark.long
def test_who_was_held_up_itself_takes_nobody_for_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    real = supervising.monotonic
    for module in (supervising, childhood):
        monkeypatch.setattr(module, "monotonic", lambda: real() + clock[0])

    def beside(run: Run) -> None:
        clock[0] = 1_000.0
        threading.Event().wait(1.0)

    run = Run(tmp_path, beside)
    assert run() == 0
    assert run.replaced() == []


def test_a_process_that_ends_too_early_ends_all(tmp_path: Path) -> None:
    """A process that ends before it answers ends all with its code."""
    (tmp_path / "refuse-2").touch()
    run = Run(tmp_path, lambda _: None)
    assert run() == 6
    assert [child[0] for child in run.children()] == ["1", "2"]
    for child in run.children():
        with pytest.raises(ProcessLookupError):
            os.kill(int(child[1]), 0)


def test_the_first_process_starts_alone(tmp_path: Path) -> None:
    """The first process starts alone and has the socket and all have one key."""
    (tmp_path / "refuse-1").touch()
    run = Run(tmp_path, lambda _: None)
    assert run() == 6
    assert [child[0] for child in run.children()] == ["1"]
    (tmp_path / "children").unlink()
    (tmp_path / "refuse-1").unlink()
    os.environ["SELLERTRUST_SOCKET"] = str(tmp_path / "s")
    try:
        run = Run(tmp_path, lambda _: None, socket=tmp_path / "s")
        assert run() == 0
    finally:
        del os.environ["SELLERTRUST_SOCKET"]
    (one, other) = run.children()
    assert (one[2], other[2:]) == (str(tmp_path / "s"), [])


def test_a_process_that_is_left_alone_ends(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    over = threading.Event()
    WorkerLink(theirs, over.set)
    assert not over.wait(0.2)
    ours.close()
    assert over.wait(60)


def test_the_port_is_had_alone_and_then_shared_by_who_knows(tmp_path: Path) -> None:
    with ExitStack() as stack:
        address = stack.enter_context(holding_port("127.0.0.1:0"))
        place = "127.0.0.1", int(address.rpartition(":")[2])
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(place)
        listener.listen()
        for _ in range(20):
            socket.create_connection(place, 5).close()
            listener.accept()[0].close()
        with pytest.raises(ConfigurationWrong, match="SELLERTRUST_ADDRESS"):
            stack.enter_context(holding_port(address))
    with holding_port(address) as again:
        assert again == address


def test_metrics_of_two_processes_stand_side_by_side() -> None:
    text = '# HELP a_total What.\n# TYPE a_total counter\na_total{x="y"} 3\n# TYPE g gauge\ng 1\n'
    found = merge_metrics({1: text, 2: text.replace("3", "5")})
    assert [(sample.labels, sample.value) for sample in found["a"].samples] == [
        ({"process": "1", "x": "y"}, 3.0),
        ({"process": "2", "x": "y"}, 5.0),
    ]
    assert [sample.labels for sample in found["g"].samples] == [{"process": "1"}, {"process": "2"}]
