"""What another process, or a defect, does at one moment of a call. No request makes a ledger or a scorer wait or fail."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any


def before_call(owner: Any, method: str, act: Callable[[], object], number: int = 0) -> None:
    """Run `act` before one call of an object's method, by its number from now on, or before every call."""
    own, calls = getattr(owner, method), count(1)

    def call(*arguments: Any, **options: Any) -> Any:
        if number in (0, next(calls)):
            act()
        return own(*arguments, **options)

    setattr(owner, method, call)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make the calls at one moment; return what each returns or raises."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        together.wait()
        try:
            return call()
        except Exception as error:  # noqa: BLE001 (the caller looks at it)
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))
