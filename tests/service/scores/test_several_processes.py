import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong, LedgerUnavailable, ProcessEnded
from service.scores.several_processes import map_in_processes
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).parents[3]


def prepare_work(folder: Path) -> Callable[[str], tuple[str, int]]:
    (folder / f"prepared-{os.getpid()}").touch(exist_ok=False)
    return partial(do, folder)


def do(folder: Path, task: str) -> tuple[str, int]:
    """Return the task and its process; a lock shows that the process lives."""
    kind, _, number = task.partition(" ")
    (folder / f"begun-{number}").touch()
    if kind == "refuse":
        raise LedgerUnavailable(f"task {number} finds no database")
    if kind == "count":
        wait_until((folder / "begun-3").exists)
        time.sleep(0.3)
        return str(len(list(folder.glob("begun-*")))), os.getpid()
    if kind == "die":
        wait_until((folder / "held-0").exists)
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hold":
        with (folder / f"lock-{number}").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            (folder / f"held-{number}").touch()
            time.sleep(600)
    return task, os.getpid()


def refuse_to_prepare() -> Callable[[str], str]:
    raise ConfigurationWrong("nothing to work with")


def is_free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.long
def test_results_come_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    """Results come in the order of the tasks from processes that prepare once."""
    tasks = ["count 0", *(f"do {number}" for number in range(1, 9))]
    results = list(map_in_processes(partial(prepare_work, tmp_path), tasks, 2))
    assert [answer for answer, _ in results] == ["4", *tasks[1:]]
    pids = {pid for _, pid in results}
    assert {int(path.name.partition("-")[2]) for path in tmp_path.glob("prepared-*")} == pids
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_an_error_of_a_process_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="task 1 finds no database"):
        list(map_in_processes(partial(prepare_work, tmp_path), ["do 0", "refuse 1", "do 2"], 2))
    with pytest.raises(ConfigurationWrong, match="nothing to work with"):
        list(map_in_processes(refuse_to_prepare, ["do 0"], 2))


def test_a_process_that_dies_is_an_error(tmp_path: Path) -> None:
    """A process that dies is an error and the others end in the middle of their task."""
    with pytest.raises(ProcessEnded, match="repeat the command with fewer"):
        list(map_in_processes(partial(prepare_work, tmp_path), ["hold 0", "die 1", "do 2"], 2))
    assert is_free(tmp_path / "lock-0")


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    """A killed parent cannot notify them."""
    program = (
        "import sys; from functools import partial; from pathlib import Path\n"
        "from service.scores.several_processes import map_in_processes\n"
        "from tests.service.scores.test_several_processes import prepare_work\n"
        "list(map_in_processes(partial(prepare_work, Path(sys.argv[1])), ['hold 0', 'hold 1'], 2))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "proto")))}
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], env=environment) as parent:
        wait_until(lambda: len(list(tmp_path.glob("held-*"))) == 2)
        assert not any(is_free(lock) for lock in tmp_path.glob("lock-*"))
        parent.kill()
    wait_until(lambda: all(is_free(lock) for lock in tmp_path.glob("lock-*")))
