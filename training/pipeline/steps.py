"""The steps of a running training, with seconds and summaries."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from scoring.base.progress import Progress

P = ParamSpec("P")


class StepResult(Protocol):
    @property
    def summary(self) -> str: ...


R = TypeVar("R", bound=StepResult)

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


def show_nothing(_step: str, _done: int, _total: int) -> None:
    """Show no progress."""


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
        """Run a step with its progress under `name`; record summary and seconds."""
        numbered = f"{NAMES.index(name) + 1}/{len(NAMES)} {name}" if name in NAMES else name
        step = Step(numbered, self.progress)
        step(0, 1)
        started = time.perf_counter()
        result = function(step, *arguments, **named)
        self.seconds[name] = round(time.perf_counter() - started, 3)
        self.lines[name] = result.summary
        step.end()
        return result
