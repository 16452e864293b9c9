from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from scoring.entries.entry import entry_from_content
from service.ledger.database.expressions import HERE, among
from service.ledger.database.tables import ENTRY

_NAMES = (
    *("sequence", "entry_id", "kind", "seller", "violation", "incident", "target", "severity", "status", "occur_time"),
    *("report_time", "record_time", "principal", "content"),
)
RECORDED = select(*(ENTRY.c[name] for name in _NAMES))
NAMED = RECORDED.where(HERE, among(ENTRY.c.entry_id))


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows of one marketplace, up to the sequence `last` and before `observe_time`, in an open transaction."""

    connection: Connection
    marketplace: str
    last: int = 2**63 - 1
    observe_time: int = 2**63 - 1

    def rows(self, query: Select[Any], names: Collection[str] = ("",), **values: Any) -> Sequence[Any]:
        """Return the rows of a query of `marketplace`, `last`, `observe_time` and `names`; none if `names` is empty."""
        if not names:
            return ()
        bounds = {"marketplace": self.marketplace, "last": self.last, "observe_time": self.observe_time}
        return self.connection.execute(query, {**bounds, "names": list(names), **values}).all()


def read_fact(row: Any) -> Any:
    """Return the fact in a row's content, without sealed texts."""
    return entry_from_content(row.entry_id, row.content).fact
