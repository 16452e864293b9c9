"""A process that appends numbered batches and says which were acknowledged, until it is killed or through.

`python -m tests.bench._fault_writer URL FIRST LAST`: batch k holds BATCH exposure days `f-{k}-{i}`; after each append it
prints k. Started again it may repeat the last batch, as any caller that lost the answer would.
"""

import sys

from scoring.entries.entry import Entry
from scoring.entries.kinds.trade import ExposureStated
from service.ledger.store import Ledger

BATCH = 50
MARKETPLACE = "faults"


def batch(number: int) -> list[Entry]:
    """The entries of one batch: always the same for the same number."""
    return [Entry(f"f-{number}-{i}", f"s-{i}", ExposureStated(10_000, 1 + i, revision=number)) for i in range(BATCH)]


def main() -> None:
    """Appends until killed, or through."""
    url, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Ledger.open(url) as ledger:
        sys.stdout.write("0\n")
        sys.stdout.flush()
        for number in range(first, last + 1):
            ledger.append(MARKETPLACE, batch(number))
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
