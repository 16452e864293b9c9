"""What the seals over the entries are read for: whether the ledger is as it was, and where it stands."""

from collections.abc import Callable, Sequence
from typing import Any

from service.ledger.database import Database
from service.ledger.seals import GENESIS, LAST_SEAL
from service.ledger.verifying import Verified, verify


class SealReads:
    """The part of the ledger that reads its seals."""

    _database: Database

    def verify(
        self,
        checkpoints: Sequence[tuple[int, bytes]],
        progress: Callable[[int, int], None],
    ) -> Verified:
        """Check every entry against the seals, and the seals against exported checkpoints.

        `checkpoints`: (sequence, chain). `progress` gets how many entries of how many are done. Raises nothing for what
        does not match: the result names it.
        """

        def read(query: Any) -> Sequence[Sequence[Any]]:
            with self._database.read() as connection:
                return connection.execute(query).all()

        return verify(read, checkpoints, progress)

    def checkpoint(self) -> tuple[int, bytes]:
        """Return (sequence, chain) of the last seal; (0, GENESIS) if there is none.

        To be exported to where the owner of the database cannot write.
        """
        with self._database.read() as connection:
            row = connection.execute(LAST_SEAL).first()
        return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))
