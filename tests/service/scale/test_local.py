"""The local driver: processes that may die, and end with their parent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong, ProcessEnded
from service.ledger.store import Ledger
from service.scale import export, local
from service.scale.local import run_locally
from service.scale.rescoring import Run
from service.scale.task import read_scores_of_task
from tests.helpers.builders import Clock
from tests.helpers.limits import Limit
from tests.helpers.scale import Blocked, entry_files, fill, folder_of, lines_of, planned
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(tmp_path: Path, limit: Limit) -> Iterator[Run]:
    limit(export, ENTRIES_PER_BUCKET=40)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True, clock=Clock()) as ledger:
        fill(ledger, 8)
        yield planned(ledger, tmp_path / "scale")


def answers(run: Run) -> list[bytes]:
    return [row for task in run.manifest.tasks for row in read_scores_of_task(*run, task)["answer"]]


def children() -> list[int]:
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for path in found for pid in path.read_text().split()]


def test_a_killed_process_costs_time_and_never_results(run: Run) -> None:
    lines, before = lines_of(run), set(children())
    assert [*run_locally(lines, 1, 1)] == [*range(1, len(lines) + 1)]
    expected = answers(run)
    for task in run.manifest.tasks:
        (folder_of(run) / task.receipt_path).unlink()
    blocked, done = Blocked(entry_files(run.manifest)[0]), []
    thread = threading.Thread(target=lambda: done.extend(run_locally(lines, 2, 1)))
    thread.start()
    wait_until(blocked.is_read, 240)
    blocked.mend()
    for pid in set(children()) - before:
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    thread.join()
    assert done == [*range(1, len(lines) + 1)]
    assert answers(run) == expected


def test_an_error_of_a_task_is_raised_as_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_files(run.manifest)[0].write_bytes(b"")
    with pytest.raises(ConfigurationWrong, match="not the file"):
        list(run_locally(lines_of(run), 2, 1))
    monkeypatch.setattr(local, "_begin", os.abort)
    with pytest.raises(ProcessEnded, match="repeat the command with fewer"):
        list(run_locally(lines_of(run), 2, 1))


def test_processes_end_with_their_parent(run: Run) -> None:
    blocked = Blocked(entry_files(run.manifest)[0])
    program = (
        "import sys; from service.scale.local import TaskLine, run_locally\n"
        "if __name__ == '__main__': list(run_locally([TaskLine(sys.argv[1], 1), TaskLine(sys.argv[1], 2)], 2, 1))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "proto")))}
    with subprocess.Popen([sys.executable, "-c", program, run.store.place], env=environment) as parent:
        wait_until(blocked.is_read, 240)
        parent.kill()
    wait_until(blocked.is_left)
    os.close(blocked.end)


def test_a_task_loads_no_ledger_and_no_migrations() -> None:
    """They would take half a second of each process."""
    command = [sys.executable, "-c", "import sys, service.scale.task; print(*sys.modules)"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "service.scale.task" in loaded
    assert not {"alembic", "service.ledger.store"} & {*loaded}
