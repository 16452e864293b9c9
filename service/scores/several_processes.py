"""Work in several processes: spawned, not forked, and ended with their parent."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from scoring.base.errors import ProcessEnded

Task = TypeVar("Task")
Result = TypeVar("Result")

_own: dict[str, Callable[..., Any]] = {}
"""In a process that works: `prepare`, and the function that it returned, `work`."""


def map_in_processes(
    prepare: Callable[[], Callable[[Task], Result]], tasks: Sequence[Task], processes: int
) -> Iterator[Result]:
    """Yield each task's result in order, from `processes` others; at most two tasks per process are in memory.

    `prepare` is called once per process and returns the function for tasks; all are pickled. Raises its errors;
    ProcessEnded if a process ended before its task was done. Close the iterator to end the processes.
    """
    given: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (prepare,)) as pool:
        try:
            for task in tasks:
                given.append(pool.submit(_do, task))
                if len(given) == 2 * processes:
                    yield given.popleft().result()
            while given:
                yield given.popleft().result()
        except BrokenProcessPool:
            raise ProcessEnded(
                "a process that did part of the work was ended: there may be too little memory for so many; repeat the"
                " command with fewer"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(prepare: Callable[[], Callable[..., Any]]) -> None:
    os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    Thread(target=_end_with_parent, daemon=True).start()
    _own["prepare"] = prepare


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(0)


def _do(task: Any) -> Any:
    if "work" not in _own:
        _own["work"] = _own["prepare"]()
    return _own["work"](task)
