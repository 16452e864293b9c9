import os
import stat
from pathlib import Path

from scoring.base.errors import ConfigurationWrong


def make_private(folder: Path) -> None:
    """Create a private folder, or require that it is private. Raises ConfigurationWrong."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    problem = find_exposure(folder)
    if problem:
        raise ConfigurationWrong(problem)


def find_exposure(folder: Path) -> str:
    """Return why other users may have written to a folder, with the remedy; empty if they cannot."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder; move away what lies there"
    if found.st_uid != os.geteuid():
        return f"{folder} belongs to another user; delete it, or run this as its owner"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"{folder} can be read or written by others; delete what is in it, then: chmod 700 {folder}"
    return ""
