"""Columns of another file, joined to the rows of a mapping's file. Pure.

[[files.join]]
path = "orders.csv"
on = "order_id"
take = ["delivered_at", "promised_at"]
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scoring.base.errors import ConfigurationWrong
from service.ingest.mapping.cells import Row, RowRejected, are_tables, cell


class Join(BaseModel):
    """Columns `take` of the file `path`, if its column `key` (default: `on`) equals the row's `on`.

    Empty without a match; the last of several counts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str
    on: str
    key: str = Field(default_factory=lambda data: data["on"])
    take: tuple[str, ...] = Field(min_length=1)

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


def joins_of(file: Mapping[str, Any], where: str) -> tuple[Join, ...]:
    """Parse a file's joins. Raises ConfigurationWrong unless it is a list of tables with path, on and take."""
    stated = file.get("join", [])
    if stated and not are_tables(stated):
        raise ConfigurationWrong(f"{where}.join must be a list of tables")
    found = []
    for number, item in enumerate(stated):
        try:
            found.append(Join.model_validate(item))
        except ValidationError:
            raise ConfigurationWrong(
                f"{where}.join[{number}] must give path, on (a column of this file), take (columns of the other), and at"
                " most key (the other's name of on)"
            ) from None
    return tuple(found)
