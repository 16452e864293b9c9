import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from service.ledger.store import Ledger
from service.scale import export
from service.scale.local import run_locally
from service.scale.rescoring import Run
from service.scale.task import read_scores_of_task
from tests.helpers.builders import Clock
from tests.helpers.limits import Limit
from tests.helpers.scale import entry_files, fill, folder_of, planned
from tests.helpers.waiting import wait_until
from tests.service.scale.test_local import Blocked, lines_of

ROOT = Path(__file__).parents[3]
PYTHON = Path(os.environ.get("DEV_VENV", ROOT / ".venv")).with_name(".venv-spark") / "bin" / "python"
PROGRAM = """
import json, sys
from service.scale.drivers import find_driver
from service.scale.local import TaskLine
if __name__ == "__main__":
    place, count = sys.argv[1], int(sys.argv[2])
    done = find_driver(0, "local[2]")([TaskLine(place, line) for line in range(1, count + 1)], 1 << 20)
    print(json.dumps(list(done)))
"""


def _missing() -> str:
    if not PYTHON.exists():
        return "no environment with Spark: ./dev env spark"
    return "" if shutil.which("java") else "no Java: apt-get install openjdk-21-jre-headless"


def start(run: Run) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "proto")))}
    return subprocess.Popen(
        [PYTHON, "-c", PROGRAM, run.store.place, str(len(lines_of(run)))],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read_answers(run: Run) -> list[bytes]:
    parts = [read_scores_of_task(*run, task) for task in run.manifest.tasks]
    return [row for part in parts for row in part["answer"]]


def workers() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"pyspark.daemon" in words and str(PYTHON).encode() in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(_missing()), reason=_missing())
def test_spark_gives_what_this_machine_does(tmp_path: Path, limit: Limit) -> None:
    limit(export, ENTRIES_PER_BUCKET=60)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True, clock=Clock()) as ledger:
        fill(ledger, 10)
        here, there = planned(ledger, tmp_path / "here"), planned(ledger, tmp_path / "there")
    list(run_locally(lines_of(here), 1, 1))
    expected = read_answers(here)
    blocked = Blocked(entry_files(there.manifest)[0])
    program = start(there)
    wait_until(blocked.is_read, 280)
    blocked.mend()
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    said, log = program.communicate(timeout=400)
    assert program.returncode == 0, log
    assert json.loads(said) == [*range(1, len(lines_of(there)) + 1)]
    assert read_answers(there) == expected
    assert len(expected) == 10
    for task in there.manifest.tasks:
        (folder_of(there) / task.receipt_path).unlink()
    entry_files(there.manifest)[0].write_bytes(b"")
    said, log = start(there).communicate(timeout=250)
    assert "is not the file that was exported" in log
