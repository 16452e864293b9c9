from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, select

from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import SEAL
from service.ledger.seals.chain import GENESIS, LAST_SEAL
from service.ledger.seals.verifying import Mismatch, Verified, verify

_SEAL_AT = (
    select(SEAL.c.last_sequence, SEAL.c.chain)
    .where(SEAL.c.first_sequence <= bindparam("sequence"))
    .order_by(SEAL.c.first_sequence.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class SealQueries:
    clock: LedgerClock

    def verify(
        self,
        checkpoints: Sequence[tuple[int, bytes]],
        progress: Callable[[int, int], None],
        first: int = 1,
    ) -> Verified:
        """Check every entry, or those from `first`, which begins a seal, against seals and checkpoints.

        `checkpoints`: (sequence, chain). `progress` gets (done, total). The result names a mismatch.
        """

        def read(query: Any) -> Sequence[Sequence[Any]]:
            with self.clock.database.read() as connection:
                return connection.execute(query).all()

        seen = self.clock.seen_sequence
        found = verify(read, checkpoints, progress, first)
        if found.mismatch is None and found.sequence < seen:
            problem = f"the ledger ends before it, and held {seen:,} entries when this process read it before"
            found = replace(found, mismatch=Mismatch(found.sequence + 1, problem))
        return found

    def last(self) -> tuple[int, bytes]:
        """Return (sequence, chain) of the last seal; (0, GENESIS) without one."""
        with self.clock.database.read() as connection:
            row = connection.execute(LAST_SEAL).first()
        return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))

    def chain_at(self, sequence: int) -> bytes | None:
        """Return the chain of the seal that ends with a sequence, or None."""
        if sequence == 0:
            return GENESIS
        with self.clock.database.read() as connection:
            row = connection.execute(_SEAL_AT, {"sequence": sequence}).first()
        return bytes(row[1]) if row is not None and row[0] == sequence else None
