"""Files that may hold personal data: readable by their owner alone when they are made; one that is there keeps its rights."""

import os


def private(path: str, flags: int) -> int:
    """What `open` is to be given as `opener`."""
    return os.open(path, flags, 0o600)
