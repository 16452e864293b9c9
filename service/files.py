"""Files that outlive a crash, and private files, which only their owner can read."""

import os
from pathlib import Path


def owner_only_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a new or renamed file in it keeps its name after a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
