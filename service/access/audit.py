"""The audit file: JSON lines of privileged calls and of staff's reads, chained by hashes.

    hash = SHA-256(hash of the line before || the bytes of the line up to its hash)

The hash is the last member of a line. A changed, missing or moved line breaks the chain unless all later lines are
written again; a copy of the last hash detects that too. The line of a call (`event` is `call`) is on disk before the
work begins. A second line (`end`) has the result and the first line's hash.

Retention removes old lines. The first remaining line (`cut`) has the last removed hash, and a line of the chain records
the cut.
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
from typing import Any, BinaryIO

from scoring.base.canonical import parse_json
from scoring.base.errors import AuditUnavailable, ConfigurationWrong
from scoring.base.time import format_time

GENESIS = "0" * 64
DAY_SECONDS = 86_400.0
_TAIL_BYTES = 64 << 10
_SECOND = len("2026-01-01T00:00:00")
_END = b', "hash": "%b"}\n'
_CUT = b'{"cut": %d, "hash": "%b"}\n'


class AuditFile:
    """Appends to an audit file; creates it, private to its owner, and its folder.

    Safe for many threads and processes of one machine. Lines older than `keep_days` days are removed once a day; None:
    never. Raises ConfigurationWrong if the file cannot be written or its last line is not whole.
    """

    def __init__(self, path: Path, keep_days: int | None = None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._keep_days = keep_days
        self._clock = clock
        self._lock = threading.Lock()
        self._cut_at = 0.0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as file:
                _last_hash(file)
        except (OSError, ValueError) as error:
            raise ConfigurationWrong(
                f"the audit file {path} cannot be used: {error}; name another folder by SELLERTRUST_DATA_DIR"
            ) from None

    def write(self, **fields: Any) -> str:
        """Append a line with these fields, force it to disk, and return its hash. Raises AuditUnavailable."""
        try:
            with self._lock:
                if self._keep_days is not None and self._clock() >= self._cut_at:
                    self._cut(self._keep_days)
                with self._open() as file:
                    return self._append(file, fields)
        except (OSError, ValueError, TypeError, KeyError):
            raise AuditUnavailable("a privileged call cannot be written to the audit file, so it is refused") from None

    @property
    def path(self) -> Path:
        return self._path

    def snapshot(self) -> tuple[BinaryIO, int]:
        """Return the file, open for reading, and the length of its whole lines; the caller closes it."""
        with self._open() as held:
            return self._path.open("rb"), os.fstat(held).st_size

    def _append(self, file: int, fields: dict[str, Any]) -> str:
        stated = json.dumps({"time": format_time(int(self._clock() * 1e6)), **fields}).encode()[:-1]
        found = _hash_of(_last_hash(file), stated)
        _write(file, stated + _END % found.encode())
        return found

    @contextmanager
    def _open(self) -> Iterator[int]:
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not _is_file_at(file, self._path):
                    continue
                yield file
                return
            finally:
                os.close(file)

    def _cut(self, keep_days: int) -> None:
        now = self._clock()
        horizon = format_time(int((now - keep_days * DAY_SECONDS) * 1e6))[:_SECOND]
        count, length, before = 0, 0, GENESIS
        with self._open(), self._path.open("rb") as lines:
            for text in lines:
                line = parse_json(text)
                if "cut" not in line and line["time"][:_SECOND] >= horizon:
                    break
                count, length, before = count + ("cut" not in line), length + len(text), line["hash"]
            if count:
                lines.seek(length)
                self._replace(lines, before, count)
        self._cut_at = now + DAY_SECONDS

    def _replace(self, rest: BinaryIO, before: str, count: int) -> None:
        beside = self._path.with_name(f".{self._path.name}.new")
        file = os.open(beside, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            _write(file, _CUT % (count, before.encode()))
            while part := rest.read(1 << 20):
                _write(file, part)
            self._append(file, {"event": "cut", "lines": count, "before": before})
            beside.replace(self._path)
        finally:
            os.close(file)


def _is_file_at(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    own = os.fstat(file)
    return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)


def _write(file: int, data: bytes) -> None:
    """Append data and force it to disk, or leave the file unchanged and raise OSError."""
    size = os.fstat(file).st_size
    try:
        if os.write(file, data) < len(data):
            raise OSError("no space left")
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


def fits(text: bytes, before: str) -> bool:
    stated = text[: -len(_END % GENESIS.encode())]
    return text == stated + _END % _hash_of(before, stated).encode()


def is_cut(text: bytes) -> bool:
    line = parse_json(text)
    return line.keys() == {"cut", "hash"} and text == _CUT % (line["cut"], line["hash"].encode())


def _hash_of(before: str, stated: bytes) -> str:
    return sha256(before.encode() + stated).hexdigest()


def _last_hash(file: int) -> str:
    """Return the last line's hash. Raises ValueError if the line is not whole."""
    size = os.fstat(file).st_size
    if not size:
        return GENESIS
    length, tail = 0, b""
    while b"\n" not in tail[:-1] and length < size:
        length = min(size, max(_TAIL_BYTES, 2 * length))
        tail = os.pread(file, length, size - length)
    if not tail.endswith(b"\n"):
        raise ValueError("its last line is not whole")
    found = parse_json(tail[:-1].rpartition(b"\n")[2])
    if not isinstance(found, dict) or not isinstance(found.get("hash"), str):
        raise ValueError("its last line is none of an audit file")
    return str(found["hash"])
