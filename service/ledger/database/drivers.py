import sqlite3
from typing import Any

_DRIVERS: list[Any] = [sqlite3]
try:
    import psycopg
except ModuleNotFoundError:
    pass
else:
    _DRIVERS.append(psycopg)

INSUFFICIENT_PRIVILEGE = "42501"
DISK_FULL = "53100"
LOCK_NOT_AVAILABLE = "55P03"
CANNOT_CONNECT_NOW = "57P03"


def driver_errors(*names: str) -> tuple[type[Exception], ...]:
    """Return the error classes of these names of each installed driver."""
    return tuple(getattr(driver, name) for driver in _DRIVERS for name in names)


def sqlstate_of(error: BaseException | None) -> str:
    """Return PostgreSQL's code of an error, such as `42501`; "" without one."""
    return getattr(error, "sqlstate", None) or ""
