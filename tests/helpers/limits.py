"""A door for tests to limits: constants that no user needs to change, and that a test reaches with little data."""

from collections.abc import Callable
from types import ModuleType

Limit = Callable[..., None]
"""`limit(module, NAME=value, ...)` sets public numbers of a module until the test ends."""


def find_wrong(module: ModuleType, names: list[str]) -> list[str]:
    return [name for name in names if not name.isupper() or not isinstance(getattr(module, name, None), int | float)]
