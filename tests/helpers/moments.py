"""What another process, or a defect, does at one moment of a call. No request makes a ledger or a scorer wait or fail."""

from collections.abc import Callable
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
