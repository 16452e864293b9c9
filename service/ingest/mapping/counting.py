from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from scoring.base.errors import ConfigurationWrong
from service.ingest.mapping.cells import Row, Test, cell, number, tests_of, whole
from service.ingest.mapping.dates import Dates

COUNTS = frozenset(["count", "sum"])


class Count:
    """`{ count = "COLUMN" }`: distinct non-empty values; `{ sum = "COLUMN" }`: the sum of numbers times `multiply`.

    Only rows where `when` holds count.
    """

    def __init__(self, data: Mapping[str, Any], where: str, dates: Dates) -> None:
        (how, *others) = sorted(COUNTS & set(data))
        known = {how, "when"} | ({"multiply"} if how == "sum" else set())
        if others or not isinstance(data[how], str) or not set(data) <= known:
            raise ConfigurationWrong(
                f"{where} must give count or sum, the name of a column, and at most when beside it, and multiply beside sum"
            )
        self._column, self._is_sum, self._where = data[how], how == "sum", where
        self._factor = Decimal(str(data.get("multiply", 1)))
        self.when: tuple[Test, ...] = tests_of(data.get("when", []), where, dates)

    def read(self, row: Row) -> str | Decimal:
        """Return one row's contribution. Raises RowRejected without the column or the number."""
        text = cell(row, self._column).strip()
        if not self._is_sum:
            return text
        return number(text or "0", self._where.rsplit(".", 1)[-1]) * self._factor


class Tally:
    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._sum = Decimal(0)

    def add(self, value: str | Decimal) -> None:
        if not isinstance(value, str):
            self._sum += value
        elif value:
            self._seen.add(value)

    @property
    def text(self) -> str:
        return str(len(self._seen)) if self._seen else whole(self._sum)
