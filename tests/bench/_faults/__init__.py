"""The faults of `./dev bench ledger-faults`: each a function of a database's URL, sizes and chance; figures out."""

import os
from dataclasses import dataclass, fields

from service.ledger.store import Ledger
from tests.bench._fault_writer import BATCH, MARKETPLACE

MUST_BE_0 = ("lost", "duplicated", "partial", "undetected", "disordered", "different", "untyped", "unreadable")
"""Last parts of figures of which each is a breach."""


class Unable(Exception):
    """Says why this machine cannot bring the fault about."""


@dataclass(frozen=True)
class Sizes:
    """How much of each fault. The default is the long form; an environment variable such as FAULTS_KILLS changes one."""

    kills: int = 200
    kill_entries: int = 100_000
    retries: int = 1_000_000
    clock_jumps: int = 2_000
    tamperings: int = 10_000
    tampered_entries: int = 1_000
    replay_sellers: int = 1_000
    restarts: int = 50
    disk_rounds: int = 10

    @classmethod
    def of_environment(cls) -> "Sizes":
        """The long form, or what the environment says instead."""
        names = {field.name: f"FAULTS_{field.name.upper()}" for field in fields(cls)}
        return cls(**{name: int(os.environ[variable]) for name, variable in names.items() if variable in os.environ})


SHORT = Sizes(
    kills=4,
    kill_entries=2_000,
    retries=20_000,
    clock_jumps=200,
    tamperings=60,
    tampered_entries=100,
    replay_sellers=30,
    restarts=3,
    disk_rounds=2,
)


def counts_by_batch(ledger: Ledger) -> dict[int, int]:
    """Entries in the ledger by the number of their batch."""
    counts: dict[int, int] = {}
    for rows in ledger.export_rows(MARKETPLACE, ledger.cut()):
        for row in rows:
            number = int(row[2].split("-")[1])
            counts[number] = counts.get(number, 0) + 1
    return counts


def breaches(ledger: Ledger, acknowledged: set[int]) -> dict[str, int]:
    """What must not be, given the numbers of the batches that were acknowledged."""
    counts = counts_by_batch(ledger)
    return {
        "lost": sum(BATCH - counts.get(number, 0) for number in acknowledged),
        "duplicated": sum(max(count - BATCH, 0) for count in counts.values()),
        "partial": sum(0 < count < BATCH for count in counts.values()),
        "undetected": int(ledger.verify([], lambda done, total: None).mismatch is not None),
    }
