"""Where a registry lies: a folder, with a lock of the kernel's, or an object store by any URL that fsspec knows."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from scoring.errors import ArtifactRefused, ConfigurationWrong
from service.registry.moves import Move, is_digest, is_move, line_of, move_of

MAX_PART_BYTES = 256 << 20

Decide = Callable[[list[Move]], Move | None]
"""Makes a move of those so far, or none. It may be asked again, of more moves, if another writer came before."""


class Storage(Protocol):
    """What a registry needs of its place."""

    place: str
    """For messages, without secrets."""
    look_seconds: float
    """How often a follower may look at `stamp`."""

    def digests(self) -> list[str]:
        """Digests of the models that are there whole, in order."""

    def read(self, digest: str, names: Iterable[str]) -> dict[str, bytes]:
        """What is there of these parts of a model. ArtifactRefused if one is larger than MAX_PART_BYTES."""

    def store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        """Puts a model in its place, whole or not at all; what was there, damaged, makes way."""

    def attach(self, digest: str, attachments: Mapping[str, bytes]) -> None:
        """Lays files beside a model that is there, each whole or not at all, in place of those of the same name."""

    def moves(self) -> list[Move]:
        """Every move, oldest first. ConfigurationWrong names what is damaged."""

    def append(self, decide: Decide) -> Move | None:
        """Adds the move that `decide` makes of all moves before it, if any: none is lost, and none comes between."""

    def stamp(self) -> object:
        """Another value once the log has changed; cheap enough to be asked for all the time."""


def storage_of(place: Path | str) -> Storage:
    """The storage at a path or a URL. ConfigurationWrong if there is none of this kind."""
    text = str(place)
    if isinstance(place, Path) or "://" not in text:
        return Folder(Path(place))
    if text.startswith(("file://", "local://")):
        return Folder(Path(unquote(urlsplit(text).path)))
    from service.registry.objects import Objects

    return Objects(text)


class Folder:
    """A folder: `models/{digest}/...`, and the log `aliases.jsonl`, one line a move.

    A model is written beside its place and renamed into it, so no reader ever sees half of one.
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
                moves.append(move_of(line))
            except (ValueError, TypeError, RecursionError) as error:
                raise ConfigurationWrong(
                    f"{self._log} is damaged in line {number}; repair or remove that line"
                ) from error
        # A line without its end was being written when the machine stopped: its move was never acknowledged.
        return moves + ([move_of(tail)] if is_move(tail) else [])

    def append(self, decide: Decide) -> Move | None:
        with self._writing() as log:
            move = decide(self.moves())
            if move is None:
                return None
            line = line_of(move)
            log.seek(0)
            whole, newline, tail = log.read().rpartition(b"\n")
            if is_move(tail):  # the work of an editor that does not end the last line
                line = b"\n" + line
            elif tail:
                log.truncate(len(whole + newline))
            log.write(line)
            log.flush()
            os.fsync(log.fileno())
        return move

    def stamp(self) -> object:
        try:
            state = self._log.stat()
        except FileNotFoundError:
            return None
        return state.st_ino, state.st_size, state.st_mtime_ns

    @contextmanager
    def _writing(self) -> Iterator[BinaryIO]:
        """The log, while no other process or thread writes to the registry."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("a+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            yield log


def refuse_size(digest: str, name: str, size: int) -> None:
    """ArtifactRefused if a part is too large to be read."""
    if size > MAX_PART_BYTES:
        raise ArtifactRefused(f"{name} of model {digest[:12]} is larger than {MAX_PART_BYTES >> 20} MB")


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
