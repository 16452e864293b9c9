"""A process that writes to a ledger, for races: `python -m tests.service.ledger.writer URL NAME BATCHES`.

Each batch is three identities and a confirmation of `v1`, repeated without the confirmation after a refusal. Each
commit prints the number of confirmations that won so far.
"""

import sys

from scoring.base.errors import LifecycleForbids
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, identity, status


def main(url: str, name: str, batches: int) -> None:
    won = 0
    with Ledger.open(url) as ledger:
        sys.stdin.readline()
        for batch in range(batches):
            entries = [identity(f"{name}-{batch}-{n}", name) for n in range(3)]
            try:
                ledger.append(MARKET, [*entries, status("v1", entry_id=f"{name}-{batch}-confirm")])
                won += 1
            except LifecycleForbids:
                ledger.append(MARKET, entries)
            print(won, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
