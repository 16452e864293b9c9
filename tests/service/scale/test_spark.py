import json
import os
import signal
from pathlib import Path

import pytest

from service.ledger.store import Ledger
from service.scale import export
from service.scale.local import run_locally
from service.scale.rescoring import Run
from service.scale.task import read_scores_of_task
from tests.helpers.builders import Clock
from tests.helpers.limits import Limit
from tests.helpers.scale import Blocked, entry_files, fill, folder_of, lines_of, planned
from tests.helpers.spark import PYTHON, missing, start_spark
from tests.helpers.waiting import wait_until


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
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_spark_gives_what_this_machine_does(tmp_path: Path, limit: Limit) -> None:
    limit(export, ENTRIES_PER_BUCKET=60)
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True, clock=Clock()) as ledger:
        fill(ledger, 10)
        here, there = planned(ledger, tmp_path / "here"), planned(ledger, tmp_path / "there")
    list(run_locally(lines_of(here), 1, 1))
    expected = read_answers(here)
    blocked = Blocked(entry_files(there.manifest)[0])
    program = start_spark(there)
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
    said, log = start_spark(there).communicate(timeout=250)
    assert "is not the file that was exported" in log
