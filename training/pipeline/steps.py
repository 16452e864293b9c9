"""The steps of a running training: seconds, summaries, and kept results for a repeated run."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from scoring.base.progress import Progress

P = ParamSpec("P")


class Summarized(Protocol):
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


class Step:
    """One step; call it with (done, total)."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name = name
        self._progress = progress
        self._total = 1

    def __call__(self, done: int, total: int) -> None:
        """Show progress. Parts may come one after the other, so done == total does not end the step."""
        self._total = max(total, 1)
        self._progress(self.name, min(done, self._total - 1), self._total)

    def end(self) -> None:
        self._progress(self.name, self._total, self._total)


@dataclass(slots=True)
class Steps:
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, function: Callable[Concatenate[Step, P], R], *arguments: P.args, **named: P.kwargs) -> R:
        """Run `function(step, *arguments)` with its progress under `name`; record summary and seconds."""
        numbered = f"{NAMES.index(name) + 1}/{len(NAMES)} {name}" if name in NAMES else name
        step = Step(numbered, self.progress)
        step(0, 1)
        started = time.perf_counter()
        result = function(step, *arguments, **named)
        self.seconds[name] = round(time.perf_counter() - started, 3)
        self.lines[name] = result.summary
        step.end()
        return result


class Kept:
    """Results of earlier runs of the same training, by name.

    The folder is of the same study, ledger, code and libraries (`training.pipeline.made_by`).
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.used: list[str] = []

    def text(self, name: str, make: Callable[[], str]) -> str:
        """Return the kept text of a name; make and keep it if missing. Without a folder it is always made."""
        if self._folder is None:
            return make()
        file = self._folder / f"{name}.txt"
        if file.exists():
            self.used.append(name)
            return file.read_text(encoding="utf-8")
        text = make()
        self._folder.mkdir(parents=True, exist_ok=True)
        staging = file.with_suffix(".partial")
        with staging.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        staging.replace(file)
        return text

    def clear(self) -> None:
        for file in self._folder.glob("*") if self._folder and self._folder.is_dir() else ():
            file.unlink()
