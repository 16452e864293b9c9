"""The steps of a training while they are taken: what each took, what it says, and what is kept for a rerun."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

Progress = Callable[[str, int, int], None]
"""Told the step, and how much of how much is done."""

P = ParamSpec("P")


class Told(Protocol):
    """What a step comes to, in one line."""

    @property
    def summary(self) -> str: ...


R = TypeVar("R", bound=Told)

NAMES = (
    "snapshot",
    "data checks",
    "leakage checks",
    "train",
    "certify",
    "calibrate",
    "compare",
    "impact",
    "gates",
)
"""The nine steps of a training, in order."""


class Step:
    """One step: call it with (done, total); what runs within `apart` is timed by itself and not as the step's."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name = name
        self.apart_seconds: dict[str, float] = {}
        self._progress = progress
        self._total = 1

    def __call__(self, done: int, total: int) -> None:
        # A step is over when it returns, whatever its parts have said: they may come one after the other.
        self._total = max(total, 1)
        self._progress(self.name, min(done, self._total - 1), self._total)

    def end(self) -> None:
        """Says that all of it is done."""
        self._progress(self.name, self._total, self._total)

    @contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """Times what is no part of making the model: baselines, twins, resampling, sampled checks."""
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.apart_seconds[what] = self.apart_seconds.get(what, 0.0) + took


@dataclass(slots=True)
class Steps:
    """The steps so far: seconds by step, seconds apart, and the line that each came to."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    apart: dict[str, float] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, function: Callable[Concatenate[Step, P], R], *arguments: P.args, **named: P.kwargs) -> R:
        """Takes one step: `function(step, *arguments)`, whose result says in `summary` what it came to."""
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
    """What earlier runs of the same training left behind, by name, so that an interrupted one goes on where it was.

    `folder` is of one training alone: the same study, ledger, code and libraries (`training.pipeline.made_by`). None:
    nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.used: list[str] = []

    def text(self, name: str, make: Callable[[], str]) -> str:
        """A text: as kept, or made and kept."""
        if self._folder is None:
            return make()
        file = self._folder / f"{name}.txt"
        if _is_whole(file):
            self.used.append(name)
            return file.read_text(encoding="utf-8")
        text = make()
        self._write(file, lambda path: path.write_text(text, encoding="utf-8"))
        return text

    def path(self, name: str) -> Path | None:
        """Where a step may keep something of its own; None if nothing is kept."""
        return None if self._folder is None else self._folder / name

    def _write(self, file: Path, write: Callable[[Path], Any]) -> None:
        """Whole or not at all, on the disk, with the digest beside it by which a later run knows it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = _replace(file, write)
        _replace(_digest_file(file), lambda path: path.write_text(digest, encoding="ascii"))


def _replace(file: Path, write: Callable[[Path], Any]) -> str:
    """Writes under another name and renames when all of it is on the disk; the SHA-256 of what was written."""
    staging = file.with_name(f".{file.name}.partial{file.suffix}")
    write(staging)
    with staging.open("rb") as data:
        digest = file_digest(data, "sha256").hexdigest()
        os.fsync(data.fileno())
    staging.replace(file)
    return digest


def _digest_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _is_whole(file: Path) -> bool:
    """Whether the file is what was written. LightGBM ends the process on a model that is cut off, so nobody may ask it."""
    try:
        with file.open("rb") as data:
            return file_digest(data, "sha256").hexdigest() == _digest_file(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False
