"""The steps of a training while they are taken: the seconds and the summary of each, and what is kept for a rerun."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from scoring.progress import Progress

P = ParamSpec("P")


class Summarized(Protocol):
    """What a step returns; `summary` is what it came to, in one line."""

    @property
    def summary(self) -> str: ...


R = TypeVar("R", bound=Summarized)

NAMES = (
    "snapshot",
    "data checks",
    "leakage checks",
    "train",
    "calibrate",
    "certify",
    "compare",
    "impact",
    "gates",
)
"""The nine steps of a training, in order."""


class Step:
    """One step: call it with (done, total).

    What runs within `apart` is timed by itself and not as the step's.
    """

    def __init__(self, name: str, progress: Progress) -> None:
        """Start a step that shows its progress under a name."""
        self.name = name
        self.apart_seconds: dict[str, float] = {}
        self._progress = progress
        self._total = 1

    def __call__(self, done: int, total: int) -> None:
        """Show that so much of the total is done, but not all: the step's parts may come one after the other."""
        # A step is over when it returns, whatever its parts have reported: they may come one after the other.
        self._total = max(total, 1)
        self._progress(self.name, min(done, self._total - 1), self._total)

    def end(self) -> None:
        """Report to the progress that the step is done."""
        self._progress(self.name, self._total, self._total)

    @contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """Time the `with` block by itself, under a name, and not as the step's.

        For what is no part of making the model: baselines, twins, resampling, sampled checks.
        """
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.apart_seconds[what] = self.apart_seconds.get(what, 0.0) + took


@dataclass(slots=True)
class Steps:
    """The steps so far."""

    progress: Progress
    """Shows the progress of each step."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by step, without what was timed apart."""
    apart: dict[str, float] = field(default_factory=dict)
    """Seconds of what was timed apart."""
    lines: dict[str, str] = field(default_factory=dict)
    """The line that each step came to."""

    def take(self, name: str, function: Callable[Concatenate[Step, P], R], *arguments: P.args, **named: P.kwargs) -> R:
        """Run one step: return the result of `function(step, *arguments)`.

        Its progress is shown under `name`; its `summary` and its seconds are recorded in `lines` and `seconds`.
        """
        numbered = f"{NAMES.index(name) + 1}/{len(NAMES)} {name}" if name in NAMES else name
        step = Step(numbered, self.progress)
        step(0, 1)
        started = time.perf_counter()
        result = function(step, *arguments, **named)
        took = time.perf_counter() - started - sum(step.apart_seconds.values())
        self.seconds[name] = round(took, 3)
        for what, seconds in step.apart_seconds.items():
            self.apart[what] = round(self.apart.get(what, 0.0) + seconds, 3)
        self.lines[name] = result.summary
        step.end()
        return result


class Kept:
    """What earlier runs of the same training left behind, by name.

    So that an interrupted one goes on where it was. The folder is of one training alone: the same study, ledger, code
    and libraries (`training.pipeline.made_by`).
    """

    def __init__(self, folder: Path | None) -> None:
        """Keep texts in a folder; None: nothing is kept."""
        self._folder = folder
        self.used: list[str] = []

    def text(self, name: str, make: Callable[[], str]) -> str:
        """Return the text kept in a file under a name; if there is none, make it and keep it.

        Without a folder it is made each time.
        """
        if self._folder is None:
            return make()
        file = self._folder / f"{name}.txt"
        if _is_whole(file):
            self.used.append(name)
            return file.read_text(encoding="utf-8")
        text = make()
        self._write(file, lambda path: path.write_text(text, encoding="utf-8"))
        return text

    def _write(self, file: Path, write: Callable[[Path], Any]) -> None:
        """Write a file whole or not at all, on the disk, with the digest beside it by which a later run knows it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = _replace(file, write)
        _replace(_digest_file(file), lambda path: path.write_text(digest, encoding="ascii"))


def _replace(file: Path, write: Callable[[Path], Any]) -> str:
    """Write under another name, and rename when all of it is on the disk; return the SHA-256 of what was written."""
    staging = file.with_name(f".{file.name}.partial{file.suffix}")
    write(staging)
    with staging.open("rb") as data:
        digest = file_digest(data, "sha256").hexdigest()
        os.fsync(data.fileno())
    staging.replace(file)
    return digest


def _digest_file(file: Path) -> Path:
    """Return the file beside a kept one that holds its digest."""
    return file.with_name(f"{file.name}.sha256")


def _is_whole(file: Path) -> bool:
    """Return whether the file is what was written.

    LightGBM ends the process on a model that is cut off, so LightGBM must not be used to find out.
    """
    try:
        with file.open("rb") as data:
            return file_digest(data, "sha256").hexdigest() == _digest_file(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False
