"""A server with an adjustable clock: `python -m tests.bench._midnight_server FOLDER MICROSECONDS` serves FOLDER.

Its clock is off by MICROSECONDS, or by the number in the last non-empty line of stdin. It prints its address, then for
each line of stdin a JSON object: the number of scores by kind of answer.
"""

import json
import sys
from pathlib import Path

from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import build_scorer
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.registry.registry import Registry
from tests.helpers.servers import settings_of

COUNTS = ("hit", "miss", "stale", "unknown")


def main() -> None:
    folder, shift = Path(sys.argv[1]), [int(sys.argv[2])]
    settings = settings_of(data_dir=folder)
    with Ledger.open(settings.database_url, clock=lambda: wall_clock() + shift[0]) as ledger:
        scorer = build_scorer(ledger, load_policy(settings), Registry(settings.registry))
        with Server(settings, ledger, scorer, log=make_log("json", "error")) as server:
            book = server.book
            assert book is not None
            _say({"address": server.address})
            for line in sys.stdin:
                shift[0] = int(line.strip() or shift[0])
                _say({name: book.tally.total(name) for name in COUNTS} | {"adopted": book.table.adopted})


def _say(found: dict[str, object]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
