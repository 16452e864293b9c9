"""The audit file: JSON lines of privileged calls and of staff's reads, chained by hashes.

    hash = SHA-256(hash of the line before || the bytes of the line up to its hash)

A changed, missing or moved line breaks the chain unless all later lines are written again. The line of a call (`call`)
is on disk before the work begins. A second line (`end`) has the result. A file moved away begins another chain.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from scoring.base.canonical import parse_json
from scoring.base.errors import AuditUnavailable, ConfigurationWrong
from scoring.base.time import format_time

GENESIS = "0" * 64
_TAIL_BYTES = 64 << 10
_HASH_MEMBER = b', "hash": "%b"}\n'


class AuditFile:
    """Appends to an audit file; creates it, private to its owner, and its folder.

    Safe for many threads and processes of one machine. Raises ConfigurationWrong if the file cannot be written or its
    last line is not whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open_locked() as file:
                _read_last_hash(file)
        except (OSError, ValueError) as error:
            raise ConfigurationWrong(
                f"the audit file {path} cannot be used: {error}; name another folder by SELLERTRUST_DATA_DIR"
            ) from None

    def write(self, **fields: Any) -> str:
        """Append a line with these fields, force it to disk, and return its hash. Raises AuditUnavailable."""
        try:
            line = json.dumps({"time": format_time(time.time_ns() // 1_000), **fields}).encode()[:-1]
            with self._open_locked() as file:
                line_hash = _chain_hash(_read_last_hash(file), line)
                _append_durably(file, line + _HASH_MEMBER % line_hash.encode())
                return line_hash
        except (OSError, ValueError, TypeError, KeyError):
            raise AuditUnavailable("a privileged call cannot be written to the audit file, so it is refused") from None

    def snapshot(self) -> tuple[BinaryIO, int]:
        """Return the file, open for reading, and the length of its whole lines; the caller closes it."""
        with self._open_locked() as locked:
            return self.path.open("rb"), os.fstat(locked).st_size

    @contextmanager
    def _open_locked(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _append_durably(file: int, data: bytes) -> None:
    """Append data and force it to disk, or leave the file unchanged and raise OSError."""
    size = os.fstat(file).st_size
    try:
        if os.write(file, data) < len(data):
            raise OSError("no space left")
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


def is_next_line(text: bytes, before: str) -> bool:
    """Return whether a line's hash is right; `before`: the hash before it, or GENESIS."""
    content = text[: -len(_HASH_MEMBER % GENESIS.encode())]
    return text == content + _HASH_MEMBER % _chain_hash(before, content).encode()


def _chain_hash(before: str, line: bytes) -> str:
    return sha256(before.encode() + line).hexdigest()


def _read_last_hash(file: int) -> str:
    """Return the hash of a file's last line, GENESIS if empty. Raises ValueError for a malformed one."""
    size = os.fstat(file).st_size
    if not size:
        return GENESIS
    length, tail = 0, b""
    while b"\n" not in tail[:-1] and length < size:
        length = min(size, max(_TAIL_BYTES, 2 * length))
        tail = os.pread(file, length, size - length)
    if not tail.endswith(b"\n"):
        raise ValueError("its last line is not whole")
    last_line = parse_json(tail[:-1].rpartition(b"\n")[2])
    if not isinstance(last_line, dict) or not isinstance(last_line.get("hash"), str):
        raise ValueError("its last line is none of an audit file")
    return str(last_line["hash"])
