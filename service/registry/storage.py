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
        """Return the digests of the models that are there whole, in order."""

    def read(self, digest: str, names: Iterable[str]) -> dict[str, bytes]:
        """Return what is there of these parts of a model. ArtifactRefused if one is larger than MAX_PART_BYTES."""

    def store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        """Put a model in its place, whole or not at all; what was there, damaged, make way."""

    def attach(self, digest: str, attachments: Mapping[str, bytes]) -> None:
        """Lay files beside a model that is there, each whole or not at all, in place of those of the same name."""

    def moves(self) -> list[Move]:
        """Return every move, oldest first. ConfigurationWrong names what is damaged."""

    def append(self, decide: Decide) -> Move | None:
        """Add the move that `decide` makes of all moves before it, if any: none is lost, and none comes between."""

    def stamp(self) -> object:
        """Return a value that changes once the log has changed; cheap enough to be asked for all the time."""


def refuse_size(digest: str, name: str, size: int) -> None:
    """Raise ArtifactRefused if a part is too large to be read."""
    if size > MAX_PART_BYTES:
        raise ArtifactRefused(f"{name} of model {digest[:12]} is larger than {MAX_PART_BYTES >> 20} MB")
