"""Where a registry lies: a folder, with a lock of the kernel's, or an object store by any URL that fsspec knows."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from scoring.errors import ArtifactRefused
from service.registry.moves import Move

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
        """Return the digests of the models that are stored whole, sorted."""

    def read(self, digest: str, names: Iterable[str]) -> dict[str, bytes]:
        """Return those of the named parts of a model that are stored, by name.

        ArtifactRefused if one is larger than MAX_PART_BYTES.
        """

    def store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        """Write a model's parts, all or none, in place of what may be there damaged."""

    def attach(self, digest: str, attachments: Mapping[str, bytes]) -> None:
        """Write files beside a stored model, each whole or not at all, over those of the same name."""

    def moves(self) -> list[Move]:
        """Return every move of the log, oldest first. ConfigurationWrong names a damaged line."""

    def append(self, decide: Decide) -> Move | None:
        """Append the move that `decide` returns when given all moves before it; return that move.

        Nothing if it returns None. No move is lost, and none comes between.
        """

    def stamp(self) -> object:
        """Return a value that differs once the log has changed; cheap enough to be asked for often."""


def refuse_size(digest: str, name: str, size: int) -> None:
    """Refuse, by ArtifactRefused, a part of `size` bytes that is larger than MAX_PART_BYTES."""
    if size > MAX_PART_BYTES:
        raise ArtifactRefused(f"{name} of model {digest[:12]} is larger than {MAX_PART_BYTES >> 20} MB")
