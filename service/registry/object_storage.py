"""A registry in an object store: `models/{digest}/...` and `moves/{number}.json`, one object per move.

Locks and appends are not needed: the store lets only one writer create the object of the next number; the other takes
the number after it. A model's manifest is written last; a model without one does not exist.
"""

import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from scoring.base.errors import ConfigurationWrong
from scoring.model.artifact import MANIFEST
from service.registry.moves import Move, is_digest, line_of, parse_move
from service.registry.storage import Decide, refuse_size

_NUMBER = re.compile(r"([0-9]{9})\.json")
_IN_PROCESS = threading.Lock()
"""`memory://` has no other exclusion."""

MAX_TRIES = 100


class ObjectStorage:
    """The storage at an fsspec URL: `s3://bucket/registry`, `gs://...`, `memory://name`.

    Raises ConfigurationWrong if the URL's package is not installed, or (at the first move) if the store does not create
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
            self._refuse_shared_numbers()
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
        """Return the number of the last move, by one request for the next move."""
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
        """Wait for a last object that is not yet a whole move; reject it if it stays so."""
        if attempt >= MAX_TRIES // 2:
            raise ConfigurationWrong(f"{self._path(numbers[-1])} is half written; if no command runs, remove it")
        time.sleep(0.02)

    def _refuse_shared_numbers(self) -> None:
        """Create one object twice, once per process: the second creation must fail.

        fsspec's own fallback is not exclusive.
        """
        if self._is_exclusive:
            return
        if self._is_emulated:
            raise self._shared()
        probe: Any = f"{self._root}/moves/probe-{uuid.uuid4().hex}"
        self._fs.pipe_file(probe, b"1", mode="create")
        try:
            self._fs.pipe_file(probe, b"2", mode="create")
        except FileExistsError:
            self._is_exclusive = True
        finally:
            self._fs.rm_file(probe)
        if not self._is_exclusive:
            raise self._shared()

    def _shared(self) -> ConfigurationWrong:
        return ConfigurationWrong(
            f"{self.place} lets two writers create one object, so a move could be lost; keep the registry in a folder, or"
            " in a store with conditional writes (S3, Google Cloud Storage, Azure)"
        )
