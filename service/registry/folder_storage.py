import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scoring.base.errors import ConfigurationWrong
from sellertrust.machine import file_state
from service.registry.moves import Move, is_digest, is_move, line_of, parse_move
from service.registry.storage import Decide, refuse_size


class FolderStorage:
    """A folder with `models/{digest}/...` and the log `aliases.jsonl`, one line per move.

    A model is written under another name and then renamed.
    """

    look_seconds = 0.2

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = str(folder)
        self._models = folder / "models"
        self._log = folder / "aliases.jsonl"

    def digests(self) -> list[str]:
        return sorted(p.name for p in self._models.iterdir() if is_digest(p.name)) if self._models.is_dir() else []

    def read(self, digest: str, names: Iterable[str]) -> dict[str, bytes]:
        parts = {}
        for name in names:
            path = self._models / digest / name
            if path.is_file():
                refuse_size(digest, name, path.stat().st_size)
                parts[name] = path.read_bytes()
        return parts

    def store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        self._models.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=self._models))
        place = self._models / digest
        try:
            for name, data in parts.items():
                _write(staging / name, data)
            staging.chmod(0o755)
            if place.exists():
                place.replace(staging.with_name(f"{staging.name}-damaged"))
            staging.replace(place)
        finally:
            for rest in self._models.glob(f"{staging.name}*"):
                shutil.rmtree(rest, ignore_errors=True)

    def attach(self, digest: str, attachments: Mapping[str, bytes]) -> None:
        for name, data in attachments.items():
            staging = self._models / digest / f".staging-{name}"
            _write(staging, data)
            staging.replace(staging.with_name(name))

    def moves(self) -> list[Move]:
        if not self._log.exists():
            return []
        moves = []
        *lines, tail = self._log.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                moves.append(parse_move(line))
            except (ValueError, TypeError, RecursionError) as error:
                raise ConfigurationWrong(
                    f"{self._log} is damaged in line {number}; repair or remove that line"
                ) from error
        # The machine stopped: the move was never acknowledged.
        return moves + ([parse_move(tail)] if is_move(tail) else [])

    def append(self, decide: Decide) -> Move | None:
        with self._writing() as log:
            move = decide(self.moves())
            if move is None:
                return None
            line = line_of(move)
            log.seek(0)
            whole, newline, tail = log.read().rpartition(b"\n")
            if is_move(tail):
                line = b"\n" + line
            elif tail:
                log.truncate(len(whole + newline))
            log.write(line)
            log.flush()
            os.fsync(log.fileno())
        return move

    def stamp(self) -> object:
        try:
            return file_state(self._log)
        except FileNotFoundError:
            return None

    @contextmanager
    def _writing(self) -> Iterator[BinaryIO]:
        """Hold the log open while no other process or thread writes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("a+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            yield log


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
