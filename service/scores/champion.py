"""The champion as a server has it: the registry's model, loaded, verified, and swapped while calls are answered."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from scoring.errors import ArtifactRefused
from scoring.model.artifact import Artifact
from scoring.time import parse_time
from service.registry.moves import CHAMPION, PREVIOUS, Move, aliases_of
from service.registry.registry import Registry

LOOKS_TO_RETRY = 10
"""After so many looks a refused model is tried again, then after twice as many, and so on: each may cost a process."""
MAX_RETRY_SECONDS = 60.0
MAX_FORMER = 3
"""Models of earlier times that are kept in memory: captures of some months are by few."""

CLOCK_SKEW = 60_000_000
"""Microseconds by which the clock of who moved an alias may differ from this server's."""

_NEVER = object()


class Champion:
    """The model that answers and the one before it.

    Shared by threads: a swap replaces one reference.

    Without a registry there is never a model. ArtifactRefused if the registry's champion is not sound.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry
        """Where the models come from; None if this server has none."""
        self._artifact: Artifact | None = None
        self._kept: Artifact | None = None
        self._changing = threading.Lock()
        self._former: dict[str, Artifact] = {}
        self._moves: Sequence[Move] = ()
        self._moves_read = 0
        self.refresh()

    @classmethod
    def always(cls, artifact: Artifact) -> Self:
        """Return a champion that is one model, and stays it."""
        champion = cls()
        champion._artifact = artifact
        return champion

    @property
    def artifact(self) -> Artifact | None:
        """Return the model that answers; None if there is none.

        Read it once in each call: a promotion replaces it.
        """
        return self._artifact

    @property
    def digest(self) -> str:
        """Return the digest of the model that answers; "" if there is none."""
        artifact = self._artifact
        return artifact.digest if artifact else ""

    def at(self, moment: int) -> Artifact | None:
        """Return the model that was the registry's champion at a time, in microseconds; None if there was none.

        Without a registry the one that answers now. ArtifactRefused if it is not sound any more.
        """
        registry = self.registry
        if registry is None:
            return self._artifact
        asked = time.time_ns() // 1_000
        if moment + CLOCK_SKEW >= self._moves_read:  # the log is only added to: what was read then says all of before
            self._moves, self._moves_read = registry.history(), asked
        digest = aliases_of(move for move in self._moves if parse_time(move.time) <= moment).get(CHAMPION)
        if digest is None:
            return None
        present = self._artifact  # read once: a promotion replaces it
        if present is not None and digest == present.digest:
            return present
        with self._changing:
            found = self._former.get(digest) or registry.load(digest)
            self._former = dict([*self._former.items()][-MAX_FORMER + 1 :]) | {digest: found}
        return found

    def refresh(self) -> bool:
        """Answer by the registry's champion from now on; return whether that is another model.

        The new model is verified and loaded before the old one is replaced; ArtifactRefused leaves the old one in place.
        The old one is kept in memory: to go back to it takes no more than a check of its bytes.
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
        """Call `refresh` whenever an alias has moved, until `stop` is set; blocks this thread.

        It asks every `seconds`, by default as often as suits the registry's place. A refused model is reported once, and
        tried again more and more rarely.
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
        """Load the model that a rollback would bring back.

        So a server that has just started goes back at once.
        """
        previous = registry.aliases().get(PREVIOUS)
        if previous is None or previous in {self.digest, self._kept.digest if self._kept else ""}:
            return
        with suppress(ArtifactRefused):  # which is reported once it is to serve
            self._kept = registry.load(previous)
