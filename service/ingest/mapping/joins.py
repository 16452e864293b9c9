"""Columns of another file, joined to the rows of a mapping's file. Pure.

[[files.join]]
path = "orders.csv"
on = "order_id"
take = ["delivered_at", "promised_at"]
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from scoring.base.errors import ConfigurationWrong
from scoring.base.parts import Part
from service.ingest.mapping.cells import Row, RowRejected, cell, column_of

MAX_JOINS = 100


@dataclass(frozen=True, slots=True)
class Join:
    """Columns `take` of the file `path`, if its column `key` (default: `on`) equals the row's `on`.

    Empty without a match; the last of several counts.
    """

    path: str
    on: str
    key: str
    take: tuple[str, ...]

    def index(self, rows: Iterable[tuple[int, Row]]) -> dict[str, tuple[str, ...]]:
        """Return the taken columns by key; the last row of a key counts. Raises ConfigurationWrong without a column."""
        try:
            return {cell(row, self.key).strip(): tuple(cell(row, name) for name in self.take) for _, row in rows}
        except RowRejected as error:
            raise ConfigurationWrong(f"{self.path}, which the mapping joins: {error}") from None

    def joined(
        self, rows: Iterable[tuple[int, Row]], index: Mapping[str, tuple[str, ...]]
    ) -> Iterator[tuple[int, Row]]:
        """Yield (line, row) with the taken columns; the row's own columns win."""
        nothing = ("",) * len(self.take)
        for line, row in rows:
            found = index.get(row.get(self.on, "").strip(), nothing)
            yield line, {**dict(zip(self.take, found, strict=True)), **row}


def joins_of(part: Part) -> tuple[Join, ...]:
    """Read a file's joins."""
    found = []
    for one in part.list_of_parts("join", MAX_JOINS):
        path, on = one.text("path", 1), column_of(one, "on")
        key = column_of(one, "key") if "key" in one else on
        found.append(Join(path, on, key, tuple(one.names("take", bool, "columns of the other file"))))
    return tuple(found)
