from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from scoring.base.errors import EntryNotFound
from scoring.base.frozen import frozen
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import ENTRY, SEAL
from service.ledger.seals.chain import GENESIS, LAST_SEAL, leaf_of
from service.ledger.seals.merkle import merkle_path
from service.ledger.seals.verifying import Mismatch, VerificationReport, verify

_SEAL_AT = (
    select(SEAL.c.first_sequence, SEAL.c.last_sequence, SEAL.c.chain)
    .where(SEAL.c.first_sequence <= bindparam("sequence"))
    .order_by(SEAL.c.first_sequence.desc())
    .limit(1)
)
_SEALED = (
    select(ENTRY).where(ENTRY.c.sequence.between(bindparam("first"), bindparam("last"))).order_by(ENTRY.c.sequence)
)


class _SealEnds(NamedTuple):
    first: int
    last: int
    chain: bytes


@frozen
class Proof:
    """Why one entry is in the ledger: its leaf leads to the root of a seal, and that to the chain."""

    sequence: int
    leaf: bytes
    path: tuple[tuple[bool, bytes], ...]
    """From the leaf on: whether the other node is on the right, and its hash."""
    first: int
    last: int
    before: bytes
    """The chain before this seal."""
    chain: bytes

    def describe(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "leaf": self.leaf.hex(),
            "path": [["right" if is_right else "left", node.hex()] for is_right, node in self.path],
            "first_sequence": self.first,
            "last_sequence": self.last,
            "chain_before": self.before.hex(),
            "chain": self.chain.hex(),
        }


@frozen
class SealQueries:
    clock: LedgerClock

    def verify(
        self,
        checkpoints: Sequence[tuple[int, bytes]],
        progress: Callable[[int, int], None],
        first: int = 1,
    ) -> VerificationReport:
        """Check every entry, or those from `first`, which begins a seal, against seals and checkpoints.

        `checkpoints`: (sequence, chain). `progress` gets (done, total). Entries lost since this process read them are a
        mismatch, too.
        """
        seen_sequence = self.clock.seen_sequence
        report = verify(self.clock.database.rows, checkpoints, progress, first)
        if report.mismatch is None and report.sequence < seen_sequence:
            problem = f"the ledger ends before it, and held {seen_sequence:,} entries when this process read it before"
            report = replace(report, mismatch=Mismatch(report.sequence + 1, problem))
        return report

    def prove(self, sequences: Sequence[int]) -> list[Proof]:
        """Return a proof for each sequence, ascending. Raises EntryNotFound for one that is not recorded."""
        proofs: list[Proof] = []
        leaves: list[bytes] = []
        first, last = 1, 0
        before = chain = GENESIS
        for sequence in sorted(sequences):
            if sequence > last:
                first, last, chain = self._find_seal(sequence)
                before = self._find_seal(first - 1).chain
                leaves = [leaf_of(row) for row in self.clock.database.rows(_SEALED, first=first, last=last)]
            if not first <= sequence <= last:
                raise EntryNotFound(f"no entry has the sequence {sequence}; name a recorded one")
            path = merkle_path(leaves, sequence - first)
            proofs.append(Proof(sequence, leaves[sequence - first], path, first, last, before, chain))
        return proofs

    def last(self) -> tuple[int, bytes]:
        """Return (sequence, chain) of the last seal; (0, GENESIS) without one."""
        return next(((row[0], bytes(row[1])) for row in self.clock.database.rows(LAST_SEAL)), (0, GENESIS))

    def chain_at(self, sequence: int) -> bytes | None:
        """Return the chain of the seal that ends at a sequence; GENESIS at 0."""
        seal = self._find_seal(sequence)
        return seal.chain if seal.last == sequence else None

    def chain_over(self, sequence: int) -> bytes | None:
        """Return the chain of the seal that holds a sequence, or None: of the whole append that it belongs to."""
        seal = self._find_seal(sequence)
        return seal.chain if seal.last >= sequence else None

    def _find_seal(self, sequence: int) -> _SealEnds:
        rows = self.clock.database.rows(_SEAL_AT, sequence=sequence)
        return next((_SealEnds(first, last, bytes(chain)) for first, last, chain in rows), _SealEnds(1, 0, GENESIS))
