import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TextIO

from scoring.base.errors import ConfigurationWrong

LOOK_SECONDS = 1.0


def owner_only_opener(path: str, flags: int) -> int:
    """Open as `open` asks; a new file gets mode 0600."""
    return os.open(path, flags, 0o600)


@contextmanager
def replacing_privately(path: Path) -> Iterator[TextIO]:
    """Open a new file that replaces `path` with mode 0600 after the block, unless that raises."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(new, "w", newline="", encoding="utf-8", errors="backslashreplace", opener=owner_only_opener) as out:
        yield out
    new.replace(path)


def write_whole(path: Path, data: bytes) -> None:
    """Write or replace a file at once as a whole, as other processes see it; a crash may lose it."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    beside.replace(path)


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a new or renamed file in it keeps its name after a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def holding_lock(path: Path, stop: Event) -> Iterator[None]:
    """Hold a file's lock in the block, once it is free; the lock ends with its process.

    Makes a missing file. The block runs without the lock after `stop`, or if the file system has no locks. Raises
    OSError if the file cannot be opened.
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


def make_private(folder: Path) -> None:
    """Create a folder that only this user may read; of an existing one, require that. Raises ConfigurationWrong."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    problem = find_access_by_others(folder)
    if problem:
        raise ConfigurationWrong(problem)


def find_access_by_others(folder: Path) -> str:
    """Return why a folder is not this user's alone, with the remedy; "" if it is. Raises OSError if it is missing."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is no folder; move away what lies there"
    if status.st_uid != os.geteuid():
        return f"{folder} belongs to another user; delete it, or run this as its owner"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"{folder} can be read or written by others; delete what is in it, then: chmod 700 {folder}"
    return ""
