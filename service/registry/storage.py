import fcntl
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from scoring.base.errors import ArtifactRefused, ConfigurationWrong
from scoring.model.artifact import MANIFEST
from sellertrust.machine import file_state
from service.registry.moves import Move, is_digest, is_move, line_of, parse_move

MAX_PART_BYTES = 256 << 20

Decide = Callable[[list[Move]], Move | None]
"""Returns a move after the given moves, or None; called again if another writer came first."""


class Storage(Protocol):
    place: str
    """Without secrets."""
    look_seconds: float
    """A follower may call `stamp` so often."""

    def digests(self) -> list[str]:
        """Return the digests of whole models, sorted."""

    def read(self, digest: str, names: Iterable[str]) -> dict[str, bytes]:
        """Return a model's stored parts by name. Raises ArtifactRefused if a part exceeds MAX_PART_BYTES."""

    def store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        """Write all of a model's parts or none, replacing damaged ones."""

    def attach(self, digest: str, attachments: Mapping[str, bytes]) -> None:
        """Write files beside a stored model, each whole or not at all."""

    def moves(self) -> list[Move]:
        """Return every move, oldest first. Raises ConfigurationWrong for a damaged line."""

    def append(self, decide: Decide) -> Move | None:
        """Append the move, if any, that `decide` returns for all earlier ones; none comes between."""

    def stamp(self) -> object:
        """Return a cheap value that changes with the log."""


def refuse_size(digest: str, name: str, size: int) -> None:
    if size > MAX_PART_BYTES:
        raise ArtifactRefused(f"{name} of model {digest[:12]} is larger than {MAX_PART_BYTES >> 20} MB")


_NUMBER = re.compile(r"([0-9]{9})\.json")
_IN_PROCESS = threading.Lock()
"""`memory://` has no other exclusion."""

MAX_TRIES = 100


class ObjectStorage:
    """The storage at an fsspec URL: `s3://bucket/registry`, `gs://...`, `memory://name`.

    Raises ConfigurationWrong without the URL's package, or (at the first move) if the store does not create
    exclusively.
    """

    look_seconds = 0.5

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            # Another process may have written a moment ago.
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise ConfigurationWrong(
                f"the registry's URL cannot be used: {error}; the extras s3, gcs and azure bring packages: pip install"
                " 'sellertrust[s3]'"
            ) from None
        except ValueError as error:
            raise ConfigurationWrong(f"the registry's URL cannot be used: {error}") from None
        self.place = f"{url.split('://', 1)[0]}://{str(self._root).lstrip('/')}"
        self._read: dict[int, Move] = {}
        self._is_exclusive = False
        self._is_emulated = type(self._fs).pipe_file is fsspec.AbstractFileSystem.pipe_file and not self._fs.async_impl

    def digests(self) -> list[str]:
        self._fs.invalidate_cache()
        found = self._fs.glob(f"{self._root}/models/*/{MANIFEST}")
        return sorted(name for name in (str(path).split("/")[-2] for path in found) if is_digest(name))

    def read(self, digest: str, names: Iterable[str]) -> dict[str, bytes]:
        self._fs.invalidate_cache()
        parts = {}
        for name in names:
            path = f"{self._root}/models/{digest}/{name}"
            try:
                refuse_size(digest, name, int(self._fs.info(path)["size"] or 0))
                parts[name] = bytes(self._fs.cat_file(path))
            except FileNotFoundError:
                continue
        return parts

    def store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        self.attach(digest, {name: data for name, data in parts.items() if name != MANIFEST})
        self.attach(digest, {MANIFEST: parts[MANIFEST]})

    def attach(self, digest: str, attachments: Mapping[str, bytes]) -> None:
        self._fs.makedirs(f"{self._root}/models/{digest}", exist_ok=True)
        for name, data in attachments.items():
            self._fs.pipe_file(f"{self._root}/models/{digest}/{name}", data)

    def moves(self) -> list[Move]:
        numbers, moves = self._numbers(), []
        for number in numbers:
            try:
                if number not in self._read:
                    self._read[number] = parse_move(self._fs.cat_file(self._path(number)))
            except (ValueError, TypeError, RecursionError) as error:
                if number == numbers[-1]:  # its move was never acknowledged
                    break
                raise ConfigurationWrong(f"{self._path(number)} of the registry is damaged; remove it") from error
            moves.append(self._read[number])
        return moves

    def append(self, decide: Decide) -> Move | None:
        with _IN_PROCESS:
            self._fs.makedirs(f"{self._root}/moves", exist_ok=True)
            self._require_exclusive_creation()
            for attempt in range(MAX_TRIES):
                moves, numbers = self.moves(), self._numbers()
                if len(numbers) > len(moves):
                    self._refuse_half(numbers, attempt)
                    continue
                move = decide(moves)
                if move is None:
                    return None
                number = (numbers[-1] if numbers else 0) + 1
                try:
                    self._fs.pipe_file(self._path(number), line_of(move), mode="create")
                except FileExistsError:
                    continue
                return move
        raise ConfigurationWrong(f"{self.place} has been written to all the time by others; try again")

    def stamp(self) -> object:
        """Return the last move's number, by one request for the next."""
        last = max(self._read, default=0)
        self._fs.invalidate_cache()
        if self._fs.exists(self._path(last + 1)):
            self.moves()
        return max(self._read, default=0)

    def _path(self, number: int) -> str:
        return f"{self._root}/moves/{number:09d}.json"

    def _numbers(self) -> list[int]:
        self._fs.invalidate_cache()
        try:
            names = self._fs.ls(f"{self._root}/moves", detail=False)
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for name in names if (match := _NUMBER.fullmatch(str(name).rsplit("/", 1)[-1])))

    def _refuse_half(self, numbers: list[int], attempt: int) -> None:
        """Wait for an incomplete last object; reject it if it stays so."""
        if attempt >= MAX_TRIES // 2:
            raise ConfigurationWrong(f"{self._path(numbers[-1])} is half written; if no command runs, remove it")
        time.sleep(0.02)

    def _require_exclusive_creation(self) -> None:
        """Create a probe twice, once in this process's life: two moves must never get one number.

        fsspec's own fallback lets the second creation overwrite the first.
        """
        if self._is_exclusive:
            return
        if self._is_emulated:
            raise self._shared_error()
        probe: Any = f"{self._root}/moves/probe-{uuid.uuid4().hex}"
        self._fs.pipe_file(probe, b"1", mode="create")
        try:
            self._fs.pipe_file(probe, b"2", mode="create")
        except FileExistsError:
            self._is_exclusive = True
        finally:
            self._fs.rm_file(probe)
        if not self._is_exclusive:
            raise self._shared_error()

    def _shared_error(self) -> ConfigurationWrong:
        return ConfigurationWrong(
            f"{self.place} lets two writers create one object, so a move could be lost; keep the registry in a folder, or"
            " in a store with conditional writes (S3, Google Cloud Storage, Azure)"
        )


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


def storage_of(place: Path | str) -> Storage:
    """Return the storage at a path (a folder) or a URL (an object store).

    Raises ConfigurationWrong if the URL's package is not installed.
    """
    text = str(place)
    if isinstance(place, Path) or "://" not in text:
        return FolderStorage(Path(place))
    if text.startswith(("file://", "local://")):
        return FolderStorage(Path(unquote(urlsplit(text).path)))

    return ObjectStorage(text)
