import fcntl
import os
from collections.abc import Callable
from pathlib import Path

VARIABLE = "TESTS_SHARED_FOLDER"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `name`, filled by `make` in the first process; the others wait."""
    shared = Path(os.environ[VARIABLE])
    folder, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
