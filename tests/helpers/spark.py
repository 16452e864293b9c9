"""Spark in an environment of its own: runs all lines of a manifest by `local[2]`."""

import os
import shutil
import subprocess
from pathlib import Path

from service.scale.rescoring import Run

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("DEV_VENV", ROOT / ".venv")).with_name(".venv-spark") / "bin" / "python"
PROGRAM = """
import json, sys
from service.scale.drivers import find_driver
from service.scale.local import TaskLine
if __name__ == "__main__":
    place, count, memory = sys.argv[1], *map(int, sys.argv[2:])
    done = find_driver(0, "local[2]")([TaskLine(place, line) for line in range(1, count + 1)], memory)
    print(json.dumps(list(done)))
"""


def missing() -> str:
    """Return what Spark needs and this machine lacks; empty if nothing."""
    if not PYTHON.exists():
        return "no environment with Spark: ./dev env spark"
    return "" if shutil.which("java") else "no Java: apt-get install openjdk-21-jre-headless"


def start_spark(run: Run) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "proto")))}
    return subprocess.Popen(
        [PYTHON, "-c", PROGRAM, run.store.place, *map(str, (len(run.manifest.tasks), run.manifest.memory_bytes))],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
