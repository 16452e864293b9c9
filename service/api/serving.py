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
    """Serve until SIGTERM, SIGINT or a request to end, then drain, close the ledger, and return 0.

    For the main thread and an unstarted server over this ledger. Calls `ready` once it serves. A second signal kills.
    If calls outlast `Server.stop`, it ends the process with exit code 1. Raises ConfigurationWrong if the server cannot
    start, LedgerUnavailable; closes the ledger then too.
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
