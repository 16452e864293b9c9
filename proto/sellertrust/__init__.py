"""The contract (`sellertrust.v1`), a client (`sellertrust.client`), and `local`, a server for a first try and for tests.

gRPC is not imported here, so that a program which only reads messages does not load it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sellertrust.client import Client


@contextmanager
def local() -> "Iterator[Client]":
    """Start the real server in this process, on a temporary SQLite ledger with the starter model; yield its client.

    Everything is gone at the end. Raises ModuleNotFoundError if only `sellertrust-client` is installed.
    """
    from sellertrust.client import Client

    rooms = [name for name in ("sellertrust.service", "service") if find_spec(name)]  # installed, or in a checkout
    if not rooms:
        raise ModuleNotFoundError("sellertrust.local() needs the server: pip install sellertrust")
    with (
        import_module(f"{rooms[0]}.bootstrap").serving_locally() as address,
        Client(address, deadline_seconds=10) as client,
    ):
        yield client
