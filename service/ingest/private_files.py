"""Files that may hold personal data: readable by their owner alone when they are made; one that is there keeps its rights."""

import os


def owner_only_opener(path: str, flags: int) -> int:
    """Open a file that its owner alone may read: the `opener` of `open`."""
    return os.open(path, flags, 0o600)
