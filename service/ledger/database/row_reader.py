from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select

from scoring.entries.entry import entry_from_content


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows of one marketplace, up to the sequence `last`, in an open transaction."""

    connection: Connection
    marketplace: str
    last: int = 2**63 - 1

    def rows(self, query: Select[Any], names: Collection[str], **values: Any) -> Sequence[Any]:
        """Return the rows about the names; without names no query is made."""
        if not names:
            return ()
        named = {"marketplace": self.marketplace, "last": self.last, "names": list(names)}
        return self.connection.execute(query, {**named, **values}).all()


def read_fact(row: Any) -> Any:
    """Return the fact of a row with `entry_id` and `content`."""
    return entry_from_content(row.entry_id, row.content).fact
