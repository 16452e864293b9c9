"""The files of a registry: models whole, and moves one after the other, in a folder or an object store."""

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from scoring.base.errors import ArtifactRefused, ConfigurationWrong
from scoring.model.artifact import MANIFEST
from service.registry.moves import ModelMove, encode_move, is_digest, parse_move
from service.shared_files import Store

MAX_PART_BYTES = 256 << 20
MAX_TRIES = 100

Decide = Callable[[list[ModelMove]], ModelMove | None]
"""Returns a move after the given moves, or None; called again if another writer came first."""

_NUMBER = re.compile(r"moves/([0-9]{9})\.json")
_EARLIER = "aliases.jsonl"
"""The moves of earlier releases, one a line; they come first."""
_IN_PROCESS = threading.Lock()
"""`memory://` has no other exclusion."""


class Storage:
    """The files below a folder or URL. Raises ConfigurationWrong without the URL's package.

    The first move raises it too if the store does not create exclusively.
    """

    def __init__(self, place: Path | str) -> None:
        self._store = Store(place)
        self.place = self._store.place
        """Without secrets."""
        self._moves_read: dict[int, ModelMove] = {}
        self._is_folder = "://" not in self.place
        self._is_exclusive = self._is_folder

    def digests(self) -> list[str]:
        names = (name.split("/") for name in self._store.list("models"))
        return sorted(name[1] for name in names if name[2:] == [MANIFEST] and is_digest(name[1]))

    def read(self, digest: str, names: Iterable[str]) -> dict[str, bytes]:
        """Return a model's parts that are stored, by name. Raises ArtifactRefused if a part exceeds MAX_PART_BYTES."""
        parts = {}
        for name in names:
            path = f"models/{digest}/{name}"
            size = self._store.size(path)
            if size is not None and size > MAX_PART_BYTES:
                raise ArtifactRefused(f"{name} of model {digest[:12]} is larger than {MAX_PART_BYTES >> 20} MB")
            if size is not None:
                parts[name] = self._store.read(path)
        return parts

    def store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        """Write a model's parts, replacing damaged ones. The manifest comes last: without it there is no model."""
        self.attach(digest, {name: data for name, data in parts.items() if name != MANIFEST})
        self.attach(digest, {MANIFEST: parts[MANIFEST]})

    def attach(self, digest: str, attachments: Mapping[str, bytes]) -> None:
        """Write files beside a stored model, each whole or not at all."""
        for name, data in attachments.items():
            self._store.write(f"models/{digest}/{name}", data)

    def moves(self) -> list[ModelMove]:
        """Return every move, oldest first. Raises ConfigurationWrong for a damaged one."""
        moves, numbers = self._list_earlier(), self._list_numbers()
        for number in numbers:
            try:
                if number not in self._moves_read:
                    self._moves_read[number] = parse_move(self._store.read(_name_move(number)))
            except (ValueError, TypeError, RecursionError) as error:
                if number == numbers[-1] and not self._is_folder:  # a store may hold half of it, never acknowledged
                    break
                raise self._damage_error(_name_move(number)) from error
            moves.append(self._moves_read[number])
        return moves

    def append(self, decide: Decide) -> ModelMove | None:
        """Append the move, if any, that `decide` returns for all earlier ones; none comes between."""
        with _IN_PROCESS:
            self._require_exclusive_creation()
            for attempt in range(MAX_TRIES):
                moves, numbers = self.moves(), self._list_numbers()
                if numbers and numbers[-1] not in self._moves_read:
                    self._await_or_refuse_half(numbers, attempt)
                    continue
                move = decide(moves)
                if move is None:
                    return None
                if self._store.create(_name_move((numbers[-1] if numbers else 0) + 1), encode_move(move)):
                    return move
        raise ConfigurationWrong(f"{self.place} has been written to all the time by others; try again")

    def stamp(self) -> object:
        """Return the last move's number, by one request for the next."""
        if self._store.exists(_name_move(max(self._moves_read, default=0) + 1)):
            self.moves()
        return max(self._moves_read, default=0)

    def _list_earlier(self) -> list[ModelMove]:
        if not self._store.exists(_EARLIER):
            return []
        try:
            return [parse_move(line) for line in self._store.read(_EARLIER).splitlines()]
        except (ValueError, TypeError, RecursionError) as error:
            raise self._damage_error(_EARLIER) from error

    def _damage_error(self, name: str) -> ConfigurationWrong:
        return ConfigurationWrong(f"{self.place}/{name} of the registry is damaged; remove it")

    def _list_numbers(self) -> list[int]:
        return sorted(int(match[1]) for name in self._store.list("moves") if (match := _NUMBER.fullmatch(name)))

    def _await_or_refuse_half(self, numbers: list[int], attempt: int) -> None:
        if attempt >= MAX_TRIES // 2:
            name = f"{self.place}/{_name_move(numbers[-1])}"
            raise ConfigurationWrong(f"{name} is half written; if no command runs, remove it")
        time.sleep(0.02)

    def _require_exclusive_creation(self) -> None:
        """Create a probe twice, once in this process's life: two moves must never get one number.

        fsspec's own fallback lets the second creation overwrite the first.
        """
        if self._is_exclusive:
            return
        probe = f"moves/probe-{uuid.uuid4().hex}"
        if not self._store.is_emulated:
            self._store.create(probe, b"1")
            self._is_exclusive = not self._store.create(probe, b"2")
            self._store.delete(probe)
        if not self._is_exclusive:
            raise ConfigurationWrong(
                f"{self.place} lets two writers create one object, so a move could be lost; keep the registry in a folder,"
                " or in a store with conditional writes (S3, Google Cloud Storage, Azure)"
            )


def _name_move(number: int) -> str:
    return f"moves/{number:09d}.json"
