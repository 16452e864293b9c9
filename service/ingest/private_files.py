"""Files that may hold personal data: readable by their owner alone when they are made; one that is there keeps its rights."""

import os


def owner_only_opener(path: str, flags: int) -> int:
    """Open a file so that, if it is new, its owner alone may read and write it.

    For the parameter `opener` of `open`; returns the descriptor.
    """
    return os.open(path, flags, 0o600)
