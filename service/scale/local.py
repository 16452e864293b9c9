"""The local driver: processes are spawned, not forked, and end with their parent."""

import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import NamedTuple, cast

from scoring.base.errors import ProcessEnded

ATTEMPTS = 3


class TaskLine(NamedTuple):
    place: str
    """Folder or URL of the run."""
    line: int


def run_locally(lines: Sequence[TaskLine], processes: int, memory_bytes: int) -> Iterator[int]:
    """Run lines; yield how many are done after each.

    `processes`: 0 for one a processor, fewer if tasks of `memory_bytes` would not fit; 1: this process. A line of a
    process that died is run again. Raises the errors of tasks; ProcessEnded if processes die again and again. Close the
    iterator to end the processes.
    """
    number = min(processes or _count_processors(memory_bytes), len(lines))
    if number <= 1:
        from service.scale.task import run_task

        for done, line in enumerate(lines, 1):
            run_task(*line)
            yield done
        return
    left, done = list(lines), 0
    for _ in range(ATTEMPTS):
        finished: list[TaskLine] = []
        try:
            for line in _run_in_pool(left, number):
                finished.append(line)
                done += 1
                yield done
            return
        except BrokenProcessPool:
            left = [line for line in left if line not in finished]
    raise ProcessEnded(
        "processes that did part of the work were ended: there may be too little memory for so many; repeat the command"
        " with fewer"
    )


def _run_in_pool(lines: Sequence[TaskLine], processes: int) -> Iterator[TaskLine]:
    given: deque[tuple[TaskLine, Future[None]]] = deque()
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin) as pool:
        try:
            for line in lines:
                given.append((line, pool.submit(_run, line)))
                if len(given) == 2 * processes:
                    yield _wait(given)
            while given:
                yield _wait(given)
        finally:
            pool.shutdown(cancel_futures=True)


def _wait(running: deque[tuple[TaskLine, "Future[None]"]]) -> TaskLine:
    line, future = running.popleft()
    future.result()
    return line


def _run(line: TaskLine) -> None:
    from service.scale.task import run_task

    run_task(*line)


def _begin() -> None:
    os.nice(5)
    sys.modules["sklearn"] = cast(ModuleType, None)  # LightGBM would load it for 0.7 s, and works without
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(0)


def _count_processors(memory_bytes: int) -> int:
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = Path("/proc/meminfo")
    if memory.exists():
        [free] = [line.split()[1] for line in memory.read_text().splitlines() if line.startswith("MemAvailable:")]
        number = min(number, max(int(free) * 1024 // memory_bytes, 1))
    return number
