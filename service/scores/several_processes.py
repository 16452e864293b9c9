"""Work in several processes: spawned, not forked, and ended with their parent.

`_COMMAND DESCRIPTOR` is such a process: it reads tasks from the socket and answers there.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from scoring.base.errors import ProcessEnded

Task = TypeVar("Task")
Result = TypeVar("Result")

_COMMAND = (sys.executable, "-P", "-c", f"from {__name__} import main; main()")
END_SECONDS = 10.0
_LOST = (EOFError, OSError)


def map_in_processes(
    prepare: Callable[[], Callable[[Task], Result]], tasks: Sequence[Task], processes: int
) -> Iterator[Result]:
    """Yield each task's result in order, from `processes` others; at most two tasks per process are in memory.

    `prepare` is called once per process and returns the function for tasks; all are pickled. Raises its errors;
    ProcessEnded if a process ended before its task was done. Close the iterator to end the processes.
    """
    started = [_Process(prepare) for _ in range(min(processes, len(tasks)))]
    try:
        yield from _results(list(started), tasks)
    finally:
        for process in started:
            process.end()


def _results(idle: "list[_Process]", tasks: Sequence[Any]) -> Iterator[Any]:
    busy: dict[Any, tuple[_Process, int]] = {}
    results: dict[int, Any] = {}
    given, at_once = 0, 2 * len(idle)
    for number in range(len(tasks)):
        while True:
            while idle and given < min(len(tasks), number + at_once):
                process = idle.pop()
                process.give(tasks[given])
                busy[process.connection] = process, given
                given += 1
            if number in results:
                break
            for connection in wait(list(busy)):
                process, done = busy.pop(connection)
                results[done] = process.take()
                idle.append(process)
        yield results.pop(number)


class _Process:
    def __init__(self, prepare: Callable[[], Any]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*_COMMAND, str(theirs.fileno())],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.connection: Connection[Any, Any] = Connection(ours.detach())
        self.give(prepare)

    def give(self, message: object) -> None:
        try:
            self.connection.send(message)
        except _LOST:
            raise self._ended() from None

    def take(self) -> Any:
        try:
            is_done, result = self.connection.recv()
        except _LOST:
            raise self._ended() from None
        if not is_done:
            raise result
        return result

    def _ended(self) -> ProcessEnded:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self.end()
        code = self._process.returncode
        how = f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with code {code}"
        remedy = "there may be too little memory for so many; repeat the command with fewer"
        return ProcessEnded(f"a process that did part of the work {how}: {remedy}")

    def end(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.wait()


def main() -> None:
    os.nice(5)
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    messages = SimpleQueue[bytes]()
    Thread(target=_read, args=(connection, messages), daemon=True).start()
    prepare, work = messages.get(), None
    while True:
        task = messages.get()
        try:
            work = work or _unpickled(prepare)()
            answer = True, work(_unpickled(task))
        except Exception as error:  # noqa: BLE001  # the process that waits for the task raises it
            answer = False, error
        with suppress(BrokenPipeError):
            connection.send(answer)


def _unpickled(message: bytes) -> Any:
    return pickle.loads(message)  # noqa: S301  # of the process that started this one


def _read(connection: "Connection[Any, Any]", messages: "SimpleQueue[bytes]") -> None:
    try:
        while True:
            messages.put(connection.recv_bytes())
    except _LOST:
        os._exit(0)
