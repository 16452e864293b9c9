"""Clients that repeat themselves, and a clock that jumps."""

import random
import threading
from itertools import pairwise

from scoring.entries.entry import Entry
from scoring.entries.kinds.trade import ExposureStated
from scoring.errors import EntryContentDiffers
from service.ledger.store import Ledger, wall_clock
from tests.bench._fault_writer import BATCH, MARKETPLACE, batch
from tests.bench._faults import Sizes, breaches

CLIENTS = 64
KEYS = 200
HOUR = 3600 * 1_000_000


def retry(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """64 clients that append the same few hundred batches again and again, and sometimes other content."""
    wrongly_taken: list[str] = []
    answers: list[dict[int, set[int]]] = []
    failures: list[BaseException] = []
    rounds = -(-sizes.retries // (CLIENTS * BATCH))
    seeds = [chance.random() for _ in range(CLIENTS)]
    with Ledger.open(url) as ledger:

        def client(seed: float) -> None:
            mine, told = random.Random(seed), {}
            answers.append(told)
            try:
                for _ in range(rounds):
                    number = mine.randrange(1, KEYS + 1)
                    done = ledger.append(MARKETPLACE, batch(number))
                    told.setdefault(number, set()).add(done[0].sequence)
                    other = Entry(f"f-{number}-0", "s-0", ExposureStated(10_000, 999, revision=number))
                    if mine.random() < 0.05:
                        try:
                            ledger.append(MARKETPLACE, [other])
                            wrongly_taken.append(other.entry_id)
                        except EntryContentDiffers:
                            pass
            except BaseException as error:  # noqa: BLE001 (whatever ends a client is a breach)
                failures.append(error)

        threads = [threading.Thread(target=client, args=(seed,)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        found = breaches(ledger, {number for told in answers for number in told})
    sequences: dict[int, set[int]] = {}
    for told in answers:
        for number, seen in told.items():
            sequences.setdefault(number, set()).update(seen)
    different = sum(len(seen) - 1 for seen in sequences.values())
    tries = CLIENTS * rounds * BATCH
    return {"tries": tries, "different": different} | found | {"duplicated": found["duplicated"] + len(wrongly_taken)}


def clock(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """A clock that jumps an hour ahead and back between appends: order and knowledge follow the sequence."""
    shift = 0
    known: list[tuple[int, int]] = []
    tries = sizes.clock_jumps
    with Ledger.open(url, clock=lambda: wall_clock() + shift) as ledger:
        for number in range(1, tries + 1):
            shift = chance.choice((-HOUR, 0, HOUR))
            done = ledger.append(MARKETPLACE, [Entry(f"f-{number}-0", "s", ExposureStated(10_000, 1, revision=number))])
            known.append((done[0].sequence, done[0].record_time))
        hidden = int(ledger.cut().sequence != tries)
    disordered = sum(later[1] <= earlier[1] for earlier, later in pairwise(known))
    gaps = sum(sequence != place for place, (sequence, _) in enumerate(known, 1))
    return {"tries": tries, "lost": gaps + hidden, "disordered": disordered}
