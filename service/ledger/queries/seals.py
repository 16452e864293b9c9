from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, select

from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import SEAL
from service.ledger.seals.chain import GENESIS, LAST_SEAL
from service.ledger.seals.verifying import Mismatch, VerificationReport, verify

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
    ) -> VerificationReport:
        """Check every entry, or those from `first`, which begins a seal, against seals and checkpoints.

        `checkpoints`: (sequence, chain). `progress` gets (done, total). The result names a mismatch.
        """
        seen = self.clock.seen_sequence
        found = verify(self.clock.database.rows, checkpoints, progress, first)
        if found.mismatch is None and found.sequence < seen:
            problem = f"the ledger ends before it, and held {seen:,} entries when this process read it before"
            found = replace(found, mismatch=Mismatch(found.sequence + 1, problem))
        return found

    def last(self) -> tuple[int, bytes]:
        """Return (sequence, chain) of the last seal; (0, GENESIS) without one."""
        return next(((row[0], bytes(row[1])) for row in self.clock.database.rows(LAST_SEAL)), (0, GENESIS))

    def chain_at(self, sequence: int) -> bytes | None:
        """Return the chain of the seal that ends with a sequence, or None."""
        if sequence == 0:
            return GENESIS
        last, chain = self._seal_over(sequence)
        return chain if last == sequence else None

    def chain_over(self, sequence: int) -> bytes | None:
        """Return the chain of the seal that holds a sequence, or None: of the whole append that it belongs to."""
        last, chain = self._seal_over(sequence)
        return chain if last >= sequence else None

    def _seal_over(self, sequence: int) -> tuple[int, bytes]:
        rows = self.clock.database.rows(_SEAL_AT, sequence=sequence)
        return next(((last, bytes(chain)) for last, chain in rows), (0, GENESIS))
