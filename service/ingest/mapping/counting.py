from decimal import Decimal

from scoring.base.parts import Part
from service.ingest.mapping.cells import Row, cell, column_of, compile_conditions, factor_of, number, whole
from service.ingest.mapping.dates import Dates

COUNTS = frozenset(["count", "sum"])


class Count:
    """`{ count = "COLUMN" }`: distinct non-empty values; `{ sum = "COLUMN" }`: the sum of numbers times `multiply`.

    Only rows where `when` holds count.
    """

    def __init__(self, part: Part, field: str, dates: Dates) -> None:
        how = "sum" if "sum" in part else "count"
        self._column, self._is_sum, self._field = column_of(part, how), how == "sum", field
        self._factor = factor_of(part) if self._is_sum else Decimal(1)
        self.when = compile_conditions(part, dates)

    def read(self, row: Row) -> str | Decimal:
        """Return one row's text to count, or number to add (0 if empty). The caller checks `when`.

        Raises RowRejected without the column, and for a text that is no number.
        """
        text = cell(row, self._column).strip()
        if not self._is_sum:
            return text
        return number(text or "0", self._field) * self._factor


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
