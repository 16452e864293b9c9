"""The champion of a server: the registry's model, swapped while calls run."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from math import inf

from scoring.base.errors import ArtifactRefused, ModelNotFound
from scoring.base.time import parse_time
from scoring.model.artifact import Artifact
from scoring.scores import notice
from service.registry.moves import CHAMPION, PREVIOUS, ModelMove, aliases_of, is_digest
from service.registry.registry import Registry
from service.repeated_work import repeat

LOOKS_TO_RETRY = 10
"""A rejected model is tried again after this many looks."""
MAX_LOADED = 4

CLOCK_SKEW = 60_000_000
"""The most that the mover's clock may differ from this server's, in microseconds."""


class Champion:
    """The registry's champion; without a registry `artifact`, or no model. Thread-safe: a swap replaces one reference.

    Raises ArtifactRefused if the champion is unsound.
    """

    def __init__(self, registry: Registry | None = None, artifact: Artifact | None = None) -> None:
        self.registry = registry
        self.artifact = artifact
        """The served model, or None. Read it once per call: a promotion replaces it."""
        self._changing = threading.Lock()
        self._moves: Sequence[ModelMove] = ()
        self._moves_read = 0
        self.changes: Sequence[notice.Move] = ()
        """Known changes of the champion, oldest first; replaced whole."""
        if registry is not None:
            self._load = lru_cache(MAX_LOADED)(registry.load)
            self.refresh()

    @property
    def digest(self) -> str:
        artifact = self.artifact
        return artifact.digest if artifact else ""

    def at(self, moment: int) -> Artifact | None:
        """Return the registry's champion at a time, in microseconds, or None.

        Without a registry: the served model. Raises ArtifactRefused if it is no longer sound.
        """
        present, registry = self.artifact, self.registry
        if registry is None:
            return present
        asked_at = time.time_ns() // 1_000
        if moment + CLOCK_SKEW >= self._moves_read:
            self._moves, self._moves_read = registry.history(), asked_at
        digest = aliases_of(move for move in self._moves if parse_time(move.time) <= moment).get(CHAMPION)
        if digest is None:
            return None
        return present if present is not None and digest == present.digest else self._load(digest)

    def find(self, digest: str) -> Artifact | None:
        """Return the model of a digest; None for an empty one. Raises ModelNotFound; ArtifactRefused if unsound."""
        if digest == self.digest:
            return self.artifact
        if digest and (self.registry is None or not is_digest(digest) or digest not in self.registry.digests()):
            raise ModelNotFound(f"model {digest[:12]!r} is not in the registry; it may have been deleted")
        return self._load(digest) if digest else None

    def refresh(self) -> bool:
        """Serve the registry's champion; return whether that is another model.

        Raises ArtifactRefused if unsound, and keeps the old one. The old one stays in memory for a return.
        """
        registry = self.registry
        with self._changing:
            champion = registry.champion_digest() if registry else None
            if registry is None or champion is None:
                return False
            changes = _list_changes(registry.history())
            if champion == self.digest:
                self.changes = changes
                return False
            registry.content(champion)
            loaded = self._load(champion)
            self.changes = changes
            self.artifact = loaded
            return True

    def load_earlier(self, digest: str) -> Artifact | None:
        """Return the model of this digest; None for "". Raises as `find`."""
        return self.artifact if digest == self.digest else self._load(digest) if digest else None

    def follow(self, stop: threading.Event, report: Callable[[str], None]) -> None:
        """Call `refresh` when an alias moves, until `stop` is set; blocks the thread.

        It reports a rejected model once, and tries it again later.
        """
        registry = self.registry
        if registry is None:
            return
        seen: object = None
        due = 0.0
        refused: ArtifactRefused | None = None

        def look() -> None:
            nonlocal seen, due, refused
            stamp = registry.stamp()
            if stamp == seen and time.monotonic() < due:
                if refused is not None:
                    raise refused  # until it is tried again it is the same problem, which is reported once
                return
            seen, due = stamp, time.monotonic() + LOOKS_TO_RETRY * registry.look_seconds
            try:
                self.refresh()
            except ArtifactRefused as error:
                refused = error
                raise
            due, refused = inf, None
            previous = registry.aliases().get(PREVIOUS)
            with suppress(ArtifactRefused):
                if previous is not None:
                    self._load(previous)

        repeat(look, stop, registry.look_seconds, report)


def _list_changes(moves: Sequence[ModelMove]) -> list[notice.Move]:
    served = [("", 0), *((move.digest, parse_time(move.time) - CLOCK_SKEW) for move in moves if move.alias == CHAMPION)]
    return [notice.Move(time, before, after) for (before, _), (after, time) in pairwise(served) if before != after]
