"""Columns that count what a file stated before a row: of the same rater, or of the other side of the row. Pure.

[files.count_so_far]
at = "{time}"
[files.count_so_far.columns]
given = { by = "{rater}" }
received = { by = "{rater}", among = "{rated}", when = { column = "stars", above = 3 } }
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from scoring.base.errors import ConfigurationWrong
from scoring.base.time import parse_time
from service.ingest.mapping.cells import Row, RowRejected, Test, cell, number, tests_of, value_of, whole
from service.ingest.mapping.dates import PLAIN, Dates
from service.ingest.mapping.static_checks import refuse_unknown

_PARTS = frozenset(["by", "among", "when", "distinct", "sum"])
Added = tuple[str, str]


class Column:
    """A number over earlier rows: how many have in `among` what this row has in `by`, if `when` holds.

    `distinct`: how many values of a column; `sum`: the rounded sum of a column. Nothing is counted for an empty text.
    """

    def __init__(self, data: Mapping[str, Any], where: str, dates: Dates) -> None:
        refuse_unknown(data, _PARTS, where)
        if "by" not in data:
            raise ConfigurationWrong(f'{where} must give by, the text whose rows are counted, such as "{{rater}}"')
        self._distinct, self._sum = data.get("distinct"), data.get("sum")
        columns = [name for name in (self._distinct, self._sum) if name is not None]
        if len(columns) > 1 or not all(isinstance(name, str) for name in columns):
            raise ConfigurationWrong(f"{where} must give at most one of distinct and sum, the name of a column")
        among = data.get("among", data["by"])
        for part, text in (("by", data["by"]), ("among", among)):
            refuse_constant(text, f"{where}.{part}", "the same for every row, so that all would be counted as one")
        self._by = value_of(data["by"], f"{where}.by", dates)
        self._among = value_of(among, f"{where}.among", dates)
        self._when: tuple[Test, ...] = tests_of(data.get("when", []), where, dates)
        self._name = where.rsplit(".", 1)[-1]
        self._seen: defaultdict[str, set[str]] = defaultdict(set)
        self._total: defaultdict[str, Decimal] = defaultdict(Decimal)

    def read(self, row: Row) -> str:
        key = self._by(row).strip()
        if self._distinct is not None:
            return str(len(self._seen.get(key, ())))
        return whole(self._total.get(key, Decimal(0)))

    def adds(self, row: Row) -> Added | None:
        """Return this row's contribution (key, text), or None. Raises RowRejected for an unreadable number."""
        key = self._among(row).strip()
        if not key or not all(test(row) for test in self._when):
            return None
        column = self._distinct or self._sum
        text = "1" if column is None else cell(row, column).strip()
        if self._distinct is None:
            number(text or "0", self._name)
        return (key, text) if text else None

    def add(self, added: Added) -> None:
        key, text = added
        if self._distinct is not None:
            self._seen[key].add(text)
        else:
            self._total[key] += Decimal(text)

    @property
    def reads(self) -> tuple[Callable[[Row], object], ...]:
        columns = [partial(cell, column=name) for name in (self._distinct, self._sum) if name is not None]
        return (self._by, self._among, *self._when, *columns)

    def forget(self) -> None:
        self._seen.clear()
        self._total.clear()


def refuse_constant(data: Any, where: str, why: str) -> None:
    if isinstance(data, bool | int | float) or (isinstance(data, str) and "{" not in data):
        raise ConfigurationWrong(f'{where} is {data!r}, {why}; write the column in braces, such as "{{{data}}}"')


class CountSoFar:
    """Counts of earlier rows, by the time `at`, which must not fall.

    Rows of one time do not count each other.
    """

    def __init__(self, data: Any, where: str, dates: Dates = PLAIN) -> None:
        if not isinstance(data, Mapping) or "at" not in data or not isinstance(data.get("columns"), Mapping):
            raise ConfigurationWrong(f"{where} must give at, the date or time of a row, and columns, a table of counts")
        refuse_unknown(data, frozenset(["at", "columns"]), where)
        if not data["columns"] or not all(isinstance(column, Mapping) for column in data["columns"].values()):
            raise ConfigurationWrong(
                f'{where}.columns must name new columns, each a table such as {{ by = "{{rater}}" }}'
            )
        refuse_constant(data["at"], f"{where}.at", "and no time of a row")
        self._at, self._dates = value_of(data["at"], f"{where}.at", dates), dates
        self.columns = {
            name: Column(column, f"{where}.columns.{name}", dates) for name, column in data["columns"].items()
        }
        self._latest, self._line = -1, ""
        self._waiting: list[tuple[Column, Added]] = []

    def counted(self, row: Row, below: Row | None = None) -> dict[str, str]:
        """Return a row's counted columns, and count the row for later ones.

        `below` is the next row. Raises RowRejected for an unreadable time, one before an earlier row, or one so late
        that the next row would be before it: one wrong date costs one row. A rejected row is not counted.
        """
        moment = self._moment(row)
        if moment < self._latest:
            raise RowRejected(
                f"at: the row lies before one above it, in line {self._line}, and what was stated so far cannot be counted;"
                " mend the date that is wrong, or sort the file by the time of count_so_far"
            )
        after = None if below is None else self._moment_or_none(below)
        if after is not None and self._latest <= after < moment:
            raise RowRejected(
                "at: the row lies after the one below it, which follows those above; mend its date, or sort the file by the"
                " time of count_so_far"
            )
        if moment > self._latest:
            for column, added in self._waiting:
                column.add(added)
            self._waiting, self._latest, self._line = [], moment, row["line"]
        found = {name: column.read(row) for name, column in self.columns.items()}
        adds = [(column, column.adds(row)) for column in self.columns.values()]
        self._waiting += [(column, added) for column, added in adds if added is not None]
        return found

    def ask(self, row: Row) -> None:
        for read in (self._at, *(read for column in self.columns.values() for read in column.reads)):
            try:
                read(row)
            except RowRejected:
                continue

    def forget(self) -> None:
        self._latest, self._line, self._waiting = -1, "", []
        for column in self.columns.values():
            column.forget()

    def _moment_or_none(self, row: Row) -> int | None:
        try:
            return self._moment(row)
        except RowRejected:
            return None

    def _moment(self, row: Row) -> int:
        text = self._at(row).strip()
        try:
            return parse_time(self._dates.canonical(text))
        except ValueError as error:
            raise RowRejected(f"at: {error}") from None
