"""What is dear is made once for all processes of a run, in a folder that they share; `tests/conftest.py` makes it."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

VARIABLE = "TESTS_SHARED_FOLDER"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` with what `make` puts into it: the first process makes it, the others wait and find it."""
    shared = Path(os.environ[VARIABLE])
    folder, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
