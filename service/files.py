"""Files that outlive a crash, and private files, which only their owner can read."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

LOOK_SECONDS = 1.0


def owner_only_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a new or renamed file in it keeps its name after a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def holding_lock(path: Path, stop: Event) -> Iterator[None]:
    """Hold a file's lock, once it is free; the lock ends with its process.

    Holds nothing after `stop`, or if the file cannot be locked.
    """
    with path.open("ab") as file:
        while not stop.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stop.wait(LOOK_SECONDS)
            except OSError:  # a file system without locks
                break
        yield
