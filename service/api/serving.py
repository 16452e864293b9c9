"""Run a server in a process's main thread, from its start to its end."""

import os
from collections.abc import Callable

from service.api.garbage_collection import freeze_loaded_objects
from service.api.server import Server
from service.engine.end_requests import EndRequests
from service.ledger.store import Ledger


def serve(
    server: Server,
    ledger: Ledger,
    *,
    ready: Callable[[Server], None] | None = None,
    requests: EndRequests | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or a request to end, then drain, close the ledger, and return the exit code 0.

    Call it in the main thread, with an unstarted server over this ledger. It calls `ready` once the server is. A second
    signal kills. If calls do not end in the time of `Server.stop`, it ends the process at once with exit code 1. Raises
    ConfigurationWrong if the server cannot start, LedgerUnavailable if the ledger does not answer; it closes the ledger
    then too.
    """
    try:
        ledger.database.ping()
        freeze_loaded_objects()
        with requests or EndRequests() as until, server:  # signals count before the server reports that it serves
            if ready is not None:
                ready(server)
            until.wait()
    finally:
        ledger.close()
        if server.unfinished:  # Python would wait for their threads
            os._exit(1)
    return 0
