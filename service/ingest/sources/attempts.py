"""Lets an interrupted import continue, with its rejects.

The ledger has the line, a file the rejects before it, both by the SHA-256 of the file, of joined files and of the
mapping.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from scoring.base.canonical import parse_json
from service.files import owner_only_opener
from service.ledger.records import Position
from service.ledger.store import Ledger

READ = 1 << 62
"""A position after every line."""
FINISHED = READ + 1


class Attempt:
    """`start` is the next line (0 for a new one), `rejects` those so far.

    Without `remembered` every attempt is new and nothing is kept.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.start = 0
        self.is_read = False
        self.rejects: list[tuple[int, str]] = []
        self._ledger = ledger
        self._path: Path | None = None
        self._kept = 0
        self._source = ""
        self._number = 0

    @classmethod
    def resume(cls, ledger: Ledger, raw: BinaryIO, how: str, folder: Path) -> Self:
        """Return the interrupted attempt for the same file and mapping, else a new one.

        `raw` is the file, read for its digest and rewound; `how` must be equal too; `folder` has the rejects.
        """
        attempt = cls(ledger)
        digest = hashlib.file_digest(cast(Any, raw), "sha256").hexdigest()
        raw.seek(0)
        attempt._source = f"file:{hashlib.sha256(f'{digest} {how}'.encode()).hexdigest()}"
        attempt._resume(folder)
        return attempt

    def _resume(self, folder: Path) -> None:
        while (position := self._ledger.positions.find(self._source, self._number)) == FINISHED:
            self._number += 1
        path = folder / f"{self._source.removeprefix('file:')}-{self._number}.jsonl"
        if position is not None and not path.is_file():
            self._ledger.positions.advance(Position(self._source, self._number, FINISHED))
            return self._resume(folder)
        self.start, self.is_read = position or 0, position == READ
        folder.mkdir(parents=True, exist_ok=True)
        kept = [parse_json(line) for line in _read_complete_lines(path)]
        self.rejects += [(line, reason) for line, reason in kept if line < self.start]
        self._path = path
        staging = path.with_suffix(".partial")
        staging.unlink(missing_ok=True)
        self._write(staging, self.rejects)
        staging.replace(path)
        self._kept = len(self.rejects)
        return None

    def position(self, line: int) -> Position | None:
        return None if self._path is None else Position(self._source, self._number, line)

    def keep(self, rejects: Iterable[tuple[int, str]] = ()) -> None:
        """Add rejects (line, reason); write new ones to disk before reading passes their lines."""
        self.rejects += rejects
        if self._path is not None and len(self.rejects) > self._kept:
            self._write(self._path, self.rejects[self._kept :])
            self._kept = len(self.rejects)

    def mark_read(self) -> None:
        """Note that the whole file was read, if the attempt is remembered."""
        self.keep()
        if self._path is not None:
            self._ledger.positions.advance(Position(self._source, self._number, READ))

    def finish(self) -> None:
        if self._path is not None:
            self._ledger.positions.advance(Position(self._source, self._number, FINISHED))
            self._path.unlink(missing_ok=True)

    def _write(self, path: Path, rejects: Iterable[tuple[int, str]]) -> None:
        with open(path, "a", encoding="ascii", opener=owner_only_opener) as file:
            file.writelines(f"{json.dumps(reject)}\n" for reject in rejects)
            file.flush()
            os.fsync(file.fileno())


def _read_complete_lines(path: Path) -> list[str]:
    """Return lines without a last one that a crash cut."""
    return path.read_text(encoding="ascii").split("\n")[:-1] if path.is_file() else []
