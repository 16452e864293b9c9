"""Files with personal data: new ones are readable only by their owner."""

import os


def owner_only_opener(path: str, flags: int) -> int:
    """Open a file, as an `opener` for `open`; a new file is private to its owner."""
    return os.open(path, flags, 0o600)
