"""Files with personal data: new ones are readable only by their owner."""

import os


def owner_only_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
