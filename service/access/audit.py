"""The audit file: one JSON line for each privileged call that is let in, each bound to the one before by its hash.

    hash = SHA-256(hash of the line before || the line without its hash)

So no line can be changed, left out or put elsewhere without all that follow being made anew; whoever keeps the last hash
elsewhere finds that too. A line is on disk before its call's work begins: a call that cannot be written is refused.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from scoring.errors import AuditUnavailable, ConfigurationWrong
from scoring.time import format_time

GENESIS = "0" * 64
_TAIL_BYTES = 64 << 10  # a line has some hundreds


class AuditFile:
    """Appends to an audit file, which is made, readable by its owner alone, if it is not there.

    Any number of threads and of processes of one machine. ConfigurationWrong if the file cannot be written or its last line
    is not whole.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        try:
            with self._open() as file:
                _last_hash(file)
        except (OSError, ValueError) as error:
            raise ConfigurationWrong(f"the audit file {path} cannot be used: {error}; name another one") from None

    def write(self, **fields: Any) -> None:
        """Append a line of these fields and see it on disk. AuditUnavailable if that fails."""
        try:
            with self._lock, self._open() as file:
                line = {"time": format_time(int(self._clock() * 1e6)), **fields}
                line["hash"] = _hash(_last_hash(file), line)
                _append(file, json.dumps(line).encode() + b"\n")
        except (OSError, ValueError):
            raise AuditUnavailable("a privileged call cannot be written to the audit file, so it is refused") from None

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Yield the file, which no other process appends to meanwhile."""
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def verify_audit(path: Path) -> tuple[int, str]:
    """Return how many lines an audit file has, and its last hash. ValueError names the first line that does not fit.

    OSError if it cannot be read.
    """
    before, count = GENESIS, 0
    with path.open("rb") as file:
        for count, text in enumerate(file, 1):
            try:
                line = json.loads(text)
                stated = line["hash"]
            except (ValueError, TypeError, KeyError):
                raise ValueError(f"line {count} is no line of an audit file") from None
            if stated != _hash(before, line) or not text.endswith(b"\n"):
                raise ValueError(f"line {count} was changed, or lines before it were changed or left out")
            before = stated
    return count, before


def _append(file: int, data: bytes) -> None:
    """Append data whole and see it on disk, or leave the file as it was: OSError."""
    size = os.fstat(file).st_size
    try:
        if os.write(file, data) < len(data):  # a full disk
            raise OSError("no space left")
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


def _hash(before: str, line: dict[str, Any]) -> str:
    stated = {name: value for name, value in line.items() if name != "hash"}
    return sha256(f"{before}{json.dumps(stated, sort_keys=True)}".encode()).hexdigest()


def _last_hash(file: int) -> str:
    """Return the hash of the last line; ValueError if that is not whole."""
    size = os.fstat(file).st_size
    if not size:
        return GENESIS
    tail = os.pread(file, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    if not tail.endswith(b"\n"):
        raise ValueError("its last line is not whole")
    found = json.loads(tail[:-1].rpartition(b"\n")[2])
    if not isinstance(found, dict) or not isinstance(found.get("hash"), str):
        raise ValueError("its last line is none of an audit file")
    return str(found["hash"])
