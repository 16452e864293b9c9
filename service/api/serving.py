import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from service.api.server import Server
from service.engine.end_requests import BEAT_SECONDS, note_end_requests
from service.garbage_collection import freeze_loaded_objects
from service.ledger.store import Ledger

SWITCH_SECONDS = 0.0005
"""How long gRPC's thread may wait, at each step, for one that computes; Python's default is 5 ms."""


def serve(
    server: Server,
    ledger: Ledger,
    *,
    ready: Callable[[Server], None] | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT, then drain, close the ledger, and return 0.

    For the main thread. Calls `ready` once it serves. A second signal kills. If calls outlast `Server.stop`, it ends the
    process with exit code 1. Raises ConfigurationWrong if the server cannot start, LedgerUnavailable; closes the ledger
    then too.
    """
    try:
        ledger.database.ping()
        freeze_loaded_objects()
        sys.setswitchinterval(SWITCH_SECONDS)
        with note_end_requests() as received, server:  # signals count before the server reports that it serves
            if ready is not None:
                ready(server)
            while not received:
                tell_systemd("READY=1\nWATCHDOG=1")
                time.sleep(BEAT_SECONDS)
            tell_systemd("STOPPING=1")
    finally:
        ledger.close()
        if server.unfinished:  # Python would wait for their threads
            os._exit(1)
    return 0


def tell_systemd(state: str) -> None:
    """Send a state as `sd_notify` does, if systemd started this process: it restarts one whose WATCHDOG stays away."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line, suppress(OSError):
            line.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
