import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10


class StepProgress:
    """A context manager to call with (step, done, total).

    A step begins when it is first named and ends when done == total or another begins. Off a terminal it writes lines,
    at most one in SECONDS_BETWEEN_LINES.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._step = ""
        self._began = self._wrote = 0.0
        self.seconds: dict[str, float] = {}
        if self._console.is_terminal:
            columns = (TextColumn("{task.description:<24}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
            self._bars = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._console)

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, step: str, done_count: int, total: int) -> None:
        if step != self._step:
            self._step = step
            self._began = self._wrote = time.monotonic()
            if self._bars:
                self._task = self._bars.add_task(step, total=total)
            else:
                sys.stderr.write(f"{step} ...\n")
        if done_count >= total:
            self.seconds[step] = time.monotonic() - self._began
        if self._bars and self._task is not None:
            self._bars.update(self._task, completed=done_count, total=total)
        elif done_count >= total:
            sys.stderr.write(f"{step}: done in {self.seconds[step]:.1f} s\n")
            self._step = ""
        elif not self._bars and time.monotonic() - self._wrote >= SECONDS_BETWEEN_LINES:
            self._wrote = time.monotonic()
            sys.stderr.write(f"{step}: {100 * done_count // total} %\n")
        sys.stderr.flush()
