"""What the seals over the entries are read for: whether the ledger is as it was, and where it stands."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from service.ledger.clock.mending import Mendings
from service.ledger.database.database import Database
from service.ledger.seals.chain import GENESIS, LAST_SEAL
from service.ledger.seals.verifying import Mismatch, Verified, verify


class SealReads:
    """The part of the ledger that reads its seals."""

    _database: Database
    _known: tuple[int, Mendings]

    def verify(
        self,
        checkpoints: Sequence[tuple[int, bytes]],
        progress: Callable[[int, int], None],
        first: int = 1,
    ) -> Verified:
        """Check every entry, or those from `first` on, against the seals, and the seals against exported checkpoints.

        `first` begins a seal. `checkpoints`: (sequence, chain). `progress` gets how many entries of how many are done.
        Raises nothing for what does not match: the result names it.
        """

        def read(query: Any) -> Sequence[Sequence[Any]]:
            with self._database.read() as connection:
                return connection.execute(query).all()

        seen, _ = self._known
        found = verify(read, checkpoints, progress, first)
        if found.mismatch is None and found.sequence < seen:
            problem = f"the ledger ends before it, and held {seen:,} entries when this process read it before"
            found = replace(found, mismatch=Mismatch(found.sequence + 1, problem))
        return found

    def checkpoint(self) -> tuple[int, bytes]:
        """Return (sequence, chain) of the last seal; (0, GENESIS) if there is none.

        To be exported to where the owner of the database cannot write.
        """
        with self._database.read() as connection:
            row = connection.execute(LAST_SEAL).first()
        return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))
