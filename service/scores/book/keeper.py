"""The keeper: one thread that opens the generations of a folder and sets damaged ones aside.

Only `rescore` writes there.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from scoring.base.time import DAY
from service.files import find_access_by_others
from service.repeated_work import repeat
from service.scores.book.code_digests import contract_digest, core_digest
from service.scores.book.generation_file import GenerationDamaged, GenerationFile, day_of
from service.scores.book.generations import Generation, Generations

LOOK_SECONDS = 1.0

RETRY_SECONDS = 30.0

MAX_OPEN = 8

DAMAGED = ".damaged"


class FileIdentity(NamedTuple):
    name: str
    inode: int
    changed: int


class Keeper:
    """`join` gets each whole generation of `folder`; `now` returns the ledger's time; `report` gets problems."""

    def __init__(
        self,
        folder: Path,
        generations: Generations,
        join: Callable[[Generation], None],
        now: Callable[[], int],
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._generations = generations
        self._join = join
        self._now = now
        self._report = report
        self._open: dict[FileIdentity, Generation] = {}
        self._passed_over: dict[FileIdentity, float] = {}
        """Until when (`monotonic`) an unusable file is left alone."""
        # Now: another release may have replaced this code when a file comes.
        self._code = (core_digest(), contract_digest())
        self._access_by_others = ""
        """The problem with the folder's permissions that was reported last."""
        self._reported: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="book-keeper", daemon=True)
        self.damaged = 0

    def start(self) -> None:
        self._thread.start()

    def close(self, seconds: float | None = None) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def look(self) -> None:
        """Open new generations, at most MAX_OPEN at once, and close damaged, foreign and replaced ones."""
        identities = list(self._list_files())
        self._drop_unused(identities)
        now = monotonic()
        self._passed_over = {file: due for file, due in self._passed_over.items() if due > now and file in identities}
        for identity in identities:
            if identity not in self._open and identity not in self._passed_over and len(self._open) < MAX_OPEN:
                self._open_generation(identity)

    def _list_files(self) -> Iterator[FileIdentity]:
        """Yield those from the last day before today to tomorrow; none in a folder that others may change."""
        if not self._folder.exists():
            return
        access = find_access_by_others(self._folder)
        if access:
            if access != self._access_by_others:
                self._report(f"generations are not read: {access}")
            self._access_by_others = access
            return
        self._access_by_others = ""
        today = self._now() // DAY
        dated = [(day, name) for name in os.listdir(self._folder) if (day := day_of(name)) is not None]  # noqa: PTH208
        last_before = max((day for day, _ in dated if day < today), default=today)
        for day, name in sorted(dated, reverse=True):
            if last_before <= day <= today + 1:
                with suppress(FileNotFoundError):
                    status = (self._folder / name).lstat()
                    yield FileIdentity(name, status.st_ino, status.st_mtime_ns)

    def _drop_unused(self, identities: list[FileIdentity]) -> None:
        """Close generations that are damaged, foreign, or replaced by one that is ready."""
        identity_by_name = {identity.name: identity for identity in identities}
        for identity, generation in list(self._open.items()):
            if generation.problem:
                self._set_aside(identity, generation.problem)
            elif generation.is_foreign:
                self._pass_over(identity, "it is of another ledger")
            elif not generation.is_joined or generation in self._generations:
                successor = identity_by_name.get(identity.name)
                if successor == identity or (successor is not None and not self._is_ready(successor)):
                    continue
            del self._open[identity]
            self._generations.drop(generation)

    def _is_ready(self, identity: FileIdentity) -> bool:
        return identity in self._open and self._open[identity].is_complete

    def _open_generation(self, identity: FileIdentity) -> None:
        path = self._folder / identity.name
        try:
            file = GenerationFile(path)
            if (file.head.core, file.head.contract) != self._code:
                self._pass_over(identity, "it was made by another release; make it anew: sellertrust rescore")
                return
            file.check()
        except GenerationDamaged as error:
            self._set_aside(identity, str(error))
        except FileNotFoundError:
            return
        except OSError as error:
            self._pass_over(identity, (error.strerror or str(error)).lower())
        else:
            generation = self._open[identity] = Generation(file)
            self._join(generation)

    def _pass_over(self, identity: FileIdentity, why: str) -> None:
        """Leave a file alone for RETRY_SECONDS, and report each problem once."""
        problem = f"generation {identity.name} is not used: {why}"
        if problem not in self._reported:
            self._reported.add(problem)
            self._report(problem)
        self._passed_over[identity] = monotonic() + RETRY_SECONDS

    def _set_aside(self, identity: FileIdentity, problem: str) -> None:
        self.damaged += 1
        self._report(f"generation {identity.name} is damaged and set aside: {problem}")
        path = self._folder / identity.name
        try:
            if path.lstat().st_ino == identity.inode:
                path.replace(path.with_name(identity.name + DAMAGED))
        except FileNotFoundError:
            return
        except OSError:
            self._passed_over[identity] = monotonic() + RETRY_SECONDS

    def _run(self) -> None:
        repeat(self.look, self._ended, LOOK_SECONDS, lambda problem: self._report(f"generations: {problem}"))
