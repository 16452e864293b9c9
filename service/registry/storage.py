from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from scoring.base.errors import ArtifactRefused
from service.registry.moves import Move

MAX_PART_BYTES = 256 << 20

Decide = Callable[[list[Move]], Move | None]
"""Returns a move after the given moves, or None; called again if another writer came first."""


class Storage(Protocol):
    place: str
    """Without secrets."""
    look_seconds: float
    """A follower may call `stamp` so often."""

    def digests(self) -> list[str]:
        """Return the digests of the models that are stored whole, sorted."""

    def read(self, digest: str, names: Iterable[str]) -> dict[str, bytes]:
        """Return the stored parts of a model by name. Raises ArtifactRefused if a part exceeds MAX_PART_BYTES."""

    def store(self, digest: str, parts: Mapping[str, bytes]) -> None:
        """Write all of a model's parts or none, replacing damaged ones."""

    def attach(self, digest: str, attachments: Mapping[str, bytes]) -> None:
        """Write files beside a stored model, each whole or not at all."""

    def moves(self) -> list[Move]:
        """Return every move, oldest first. Raises ConfigurationWrong for a damaged line."""

    def append(self, decide: Decide) -> Move | None:
        """Append the move that `decide` returns for all earlier moves, if any; no other move comes between."""

    def stamp(self) -> object:
        """Return a value that changes with the log; cheap."""


def refuse_size(digest: str, name: str, size: int) -> None:
    """Raise ArtifactRefused if a part is larger than MAX_PART_BYTES."""
    if size > MAX_PART_BYTES:
        raise ArtifactRefused(f"{name} of model {digest[:12]} is larger than {MAX_PART_BYTES >> 20} MB")
