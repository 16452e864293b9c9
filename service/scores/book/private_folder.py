"""A folder that only one user can read and write: what lies in it was put there by nobody else."""

import os
import stat
from pathlib import Path

from scoring.errors import ConfigurationWrong


def make_private(folder: Path) -> None:
    """Make a folder that only this user can read and write, or see that it is one. ConfigurationWrong if it is not."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    problem = find_exposure(folder)
    if problem:
        raise ConfigurationWrong(problem)


def find_exposure(folder: Path) -> str:
    """Return why others than this user may have written to a folder, with the remedy; empty if nobody can have."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder; move away what lies there"
    if found.st_uid != os.geteuid():
        return f"{folder} belongs to another user; delete it, or run this as its owner"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"{folder} can be read or written by others; delete what is in it, then: chmod 700 {folder}"
    return ""
