"""The champion of a server: the registry's model, swapped while calls run."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from scoring.base.errors import ArtifactRefused
from scoring.base.time import parse_time
from scoring.model.artifact import Artifact
from service.registry.moves import CHAMPION, PREVIOUS, Move, aliases_of
from service.registry.registry import Registry

LOOKS_TO_RETRY = 10
"""A rejected model is tried again after this many looks, then after twice as many, and so on."""
MAX_RETRY_SECONDS = 60.0
MAX_FORMER = 3

CLOCK_SKEW = 60_000_000
"""The most that the mover's clock may differ from this server's, in microseconds."""

_NEVER = object()


class Champion:
    """The served model and the previous one. Thread-safe: a swap replaces one reference.

    Without a registry there is no model. Raises ArtifactRefused if the champion is unsound.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry
        self._artifact: Artifact | None = None
        self._kept: Artifact | None = None
        self._changing = threading.Lock()
        self._former: dict[str, Artifact] = {}
        self._moves: Sequence[Move] = ()
        self._moves_read = 0
        self.refresh()

    @classmethod
    def always(cls, artifact: Artifact) -> Self:
        champion = cls()
        champion._artifact = artifact
        return champion

    @property
    def artifact(self) -> Artifact | None:
        """Return the served model, or None. Read it once per call: a promotion replaces it."""
        return self._artifact

    @property
    def digest(self) -> str:
        artifact = self._artifact
        return artifact.digest if artifact else ""

    def at(self, moment: int) -> Artifact | None:
        """Return the registry's champion at a time, in microseconds, or None.

        Without a registry: the served model. Raises ArtifactRefused if it is no longer sound.
        """
        registry = self.registry
        if registry is None:
            return self._artifact
        asked = time.time_ns() // 1_000
        if moment + CLOCK_SKEW >= self._moves_read:
            self._moves, self._moves_read = registry.history(), asked
        digest = aliases_of(move for move in self._moves if parse_time(move.time) <= moment).get(CHAMPION)
        if digest is None:
            return None
        present = self._artifact
        if present is not None and digest == present.digest:
            return present
        with self._changing:
            found = self._former.get(digest) or registry.load(digest)
            self._former = dict([*self._former.items()][-MAX_FORMER + 1 :]) | {digest: found}
        return found

    def refresh(self) -> bool:
        """Serve the registry's champion; return whether that is another model.

        Raises ArtifactRefused if unsound, and keeps the old one. The old one stays in memory for a return.
        """
        registry = self.registry
        with self._changing:
            champion = registry.champion() if registry else None
            if registry is None or champion is None or champion == self.digest:
                return False
            artifact = self._kept
            if artifact is None or artifact.digest != champion:
                artifact = registry.load(champion)
            else:
                registry.content(champion)
            self._kept, self._artifact = self._artifact or self._kept, artifact
            return True

    def follow(self, stop: threading.Event, report: Callable[[str], None], seconds: float | None = None) -> None:
        """Call `refresh` when an alias moves, until `stop` is set; blocks the thread.

        A rejected model is reported once, and tried again at growing intervals.
        """
        registry = self.registry
        if registry is None:
            return
        look = registry.look_seconds if seconds is None else seconds
        seen: object = _NEVER
        refused, wait, due = "", 0.0, 0.0
        while not stop.wait(look):
            try:
                stamp = registry.stamp()
                if stamp == seen and not (refused and time.monotonic() >= due):
                    continue
                wait = wait if stamp == seen else 0.0
                seen = stamp
                self.refresh()
                refused = ""
                self._keep_previous(registry)
            except Exception as error:  # noqa: BLE001 (whatever it is, a later look may succeed)
                wait = min(max(2 * wait, LOOKS_TO_RETRY * look), MAX_RETRY_SECONDS)
                due = time.monotonic() + wait
                if str(error) != refused:
                    report(refused := str(error))

    def _keep_previous(self, registry: Registry) -> None:
        previous = registry.aliases().get(PREVIOUS)
        if previous is None or previous in {self.digest, self._kept.digest if self._kept else ""}:
            return
        with suppress(ArtifactRefused):
            self._kept = registry.load(previous)
