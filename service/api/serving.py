"""What the command runs: a server from its start to its end, in the main thread of a process."""

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
    """Serve until SIGTERM, SIGINT or a request to end, then drain, close the ledger, and return the exit code, 0.

    To be called in the main thread, with a server over this ledger that was not started. `ready` is called once it is. A
    second signal kills. If calls do not end in the time of `Server.stop`, the process ends here and at once, with the
    exit code 1. ConfigurationWrong if the server cannot start, LedgerUnavailable if the ledger does not answer; it is
    closed then too.
    """
    try:
        ledger.database.ping()
        freeze_loaded_objects()
        with requests or EndRequests() as until, server:  # signals count before the server says that it serves
            if ready is not None:
                ready(server)
            until.wait()
    finally:
        ledger.close()
        if server.unfinished:  # Python would wait for their threads, whatever they do
            os._exit(1)
    return 0
