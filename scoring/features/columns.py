"""Entries as columns: the one form in which facts reach the core, for one seller and for a million.

The ledger's rows (a request), and the ledger's export (training), both become an `EntryColumns`. Texts have become
dense codes by then, since the fold only asks whether two are equal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import NEVER, Bools, Ints
from scoring.base.enums import Kind


class FactRow(NamedTuple):
    """One entry of the ledger as the fold needs it.

    Times are in microseconds; values that a kind lacks are None.
    """

    sequence: int
    entry_id: str
    seller: str
    kind: int
    occur_time: int
    report_time: int
    violation: str | None = None
    """Id of the violation that it reports or is about."""
    incident: str | None = None
    category: int | None = None
    severity: int | None = None
    status: int | None = None
    """The status to which it leads, or the number of its outcome (`scoring.entries.kinds.table`)."""
    exposure_day: int | None = None
    product_category: str | None = None
    revision: int | None = None
    settled_orders: int | None = None
    service_failures: int | None = None
    identity_level: int | None = None
    target: str | None = None
    """Id of what else it is about, such as the entry that it corrects."""
    units: int | None = None
    """Distinct units."""
    until_time: int | None = None
    """When it ends."""
    source: int | None = None
    """Who inspected, for inspections; who reported, for violations."""
    violation_type: int | None = None
    """The number of what is reported (`scoring.entries.violation_types`)."""
    attributes: Mapping[str, str] | None = None
    """Attributes of an identity."""
    listing: str | None = None
    """The listing that a violation is about."""


class Omitted(NamedTuple):
    """The open allegations of a seller that are not among its rows."""

    allegations: int
    """Number of those that are visible at the observe time."""
    unchanged_until: int = NEVER
    """When the next one becomes visible, in microseconds; NEVER if all are."""


NOTHING_OMITTED: Mapping[str, Omitted] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EntryColumns:
    """n entries of `cases` cases in any order, each column int64 of shape (n,).

    A case is one seller seen at one observe time; it is 0 <= case < cases. `violation` and `product` are codes that are
    equal where the texts are (-1: none); so are `entry`, `incident` and `target`, which share one code. `row` is the
    entry's place in the caller's own list.
    """

    cases: int
    case: Ints
    row: Ints
    sequence: Ints
    kind: Ints
    occur_time: Ints
    report_time: Ints
    violation: Ints
    incident: Ints
    category: Ints
    severity: Ints
    status: Ints
    day: Ints
    product: Ints
    revision: Ints
    orders: Ints
    failures: Ints
    level: Ints
    entry: Ints
    target: Ints
    units: Ints
    until: Ints
    source: Ints
    violation_type: Ints

    def take(self, index: NDArray[np.intp] | Bools | Ints | slice) -> "EntryColumns":
        """Return the entries at `index` (a mask, indices or a slice), for the same cases.

        A column is copied when it is first read, and never for a slice.
        """
        if isinstance(index, slice):
            return _Lazy(self, index)
        return _Lazy(self, np.flatnonzero(index) if index.dtype == np.bool_ else index)

    def of_cases(self, case: Ints, cases: int) -> "EntryColumns":
        """Return the same entries with other case numbers: entry i is of `case[i]`, out of `cases`."""
        return _Lazy(self, _ALL, case=case, cases=cases)

    def with_occur_time(self, occur_time: Ints) -> "EntryColumns":
        """Return the same entries with other occur times (microseconds, shape (n,))."""
        return _Lazy(self, _ALL, occur_time=occur_time)

    def with_incident(self, incident: Ints) -> "EntryColumns":
        """Return the same entries with other incidents (codes, shape (n,))."""
        return _Lazy(self, _ALL, incident=incident)


_ALL = slice(None)


class _Lazy(EntryColumns):
    """The entries at `places` of other columns, copied column by column.

    A column is given (`known`) or copied when first read. Most readers want a few of the columns; to copy them all was
    a third of the time of a snapshot.
    """

    __slots__ = ("_places", "_source")
    _places: NDArray[Any] | slice
    _source: EntryColumns

    def __init__(self, source: EntryColumns, places: NDArray[Any] | slice, **known: int | Ints) -> None:
        for name, value in {"cases": source.cases, **known, "_source": source, "_places": places}.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Ints:
        # Called for what has no value yet: the slot of a column is empty until then.
        if name not in EntryColumns.__dataclass_fields__:
            raise AttributeError(name)
        column: Ints = getattr(self._source, name)
        column = column[self._places] if isinstance(self._places, slice) else column.take(self._places)
        object.__setattr__(self, name, column)
        return column


def columns_of(rows: Iterable[FactRow], sellers: Iterable[str]) -> EntryColumns:
    """Turn ledger rows into one int64 array per field, in the order of the rows.

    A row's case is the place of its seller in `sellers`; KeyError for a row of any other seller. Ids become numbers in
    the order in which they first occur, -1 for none; other missing fields are 0. The rows may be in any order.
    """
    case_of = {seller: case for case, seller in enumerate(sellers)}
    violations: dict[str, int] = {}
    products: dict[str, int] = {}
    names: dict[str, int] = {}
    flat: list[int] = []  # one row after the other: an array of numbers is made faster than one of tuples
    # fmt: off
    for row, (
        sequence, entry, seller, kind, occur_time, report_time, violation, incident, category, severity, status, day,
        product, revision, orders, failures, level, target, units, until, source, violation_type, _, _,
    ) in enumerate(rows):
        flat += (
            case_of[seller], row, sequence, kind, occur_time, report_time,
            -1 if violation is None else violations.setdefault(violation, len(violations)),
            -1 if incident is None else names.setdefault(incident, len(names)),
            category or 0, severity or 0, status or 0, day or 0,
            -1 if product is None else products.setdefault(product, len(products)),
            revision or 0, orders or 0, failures or 0, level or 0,
            names.setdefault(entry, len(names)),
            -1 if target is None else names.setdefault(target, len(names)),
            units or 0, until or 0, source or 0, violation_type or 0,
        )
    # fmt: on
    table = np.array(flat, dtype=np.int64).reshape(-1, 23)
    return EntryColumns(len(case_of), *np.ascontiguousarray(table.T))


def list_coded_texts(rows: Iterable[FactRow]) -> list[str]:
    """Return the ids of entries, incidents and targets, each at the place of its code.

    The codes are those that `columns_of` gives for the same rows.
    """
    names: dict[str, None] = {}
    for r in rows:
        if r.incident is not None:
            names[r.incident] = None
        names[r.entry_id] = None
        if r.target is not None:
            names[r.target] = None
    return list(names)


SaleRow = tuple[Any, ...]
"""A statement of exposure: seller, report time, day, product category, revision, settled orders, service failures.

The seller is left out where all are of one.
"""


@dataclass(frozen=True, slots=True)
class FactTable:
    """The entries of sellers as a score reads them.

    Exposure, most of what there is, may come as columns alone.
    """

    rows: Sequence[FactRow]
    """All entries but those of `sales`."""
    columns: EntryColumns
    """Of `rows`, one case a seller."""
    sales: EntryColumns | None = None
    """Exposure that stands, of which case, report time, day, product, revision, orders and failures are set; or None."""
    products: Sequence[str] = ()
    """The product categories of `sales`, by the codes in their column `product`."""

    def __len__(self) -> int:
        return len(self.columns.case) + (0 if self.sales is None else len(self.sales.case))

    def rows_by_case(self) -> list[list[FactRow]]:
        """Return the rows of each case, by sequence."""
        found: list[list[FactRow]] = [[] for _ in range(self.columns.cases)]
        for case, row in zip(self.columns.case.tolist(), self.columns.row.tolist(), strict=True):
            found[case].append(self.rows[row])
        return [sorted(rows, key=attrgetter("sequence")) for rows in found]

    def part(self, first: int, end: int) -> "FactTable":
        """Return the entries of the sellers `first` to before `end`, renumbered from 0.

        `row` values stay as they are.
        """
        sales = self.sales and _part(self.sales, first, end)
        return FactTable(self.rows, _part(self.columns, first, end), sales, self.products)

    def with_sales(self, sold: Sequence[SaleRow], sellers: Sequence[str]) -> "FactTable":
        """Return the table with other exposure in place of its own.

        Such as values in place of orders.
        """
        others = self.columns.take(self.columns.kind != Kind.EXPOSURE)
        return FactTable(self.rows, others, *_columns_of_sales(sold, sellers))


def tabulate(rows: Sequence[FactRow], sellers: Sequence[str], sold: Sequence[SaleRow] | None = None) -> FactTable:
    """Turn ledger rows about `sellers` into a table of entries; case i is seller i.

    `sold`: exposure that is not among the rows.
    """
    apart = () if sold is None else _columns_of_sales(sold, sellers)
    return FactTable(rows, columns_of(rows, sellers), *apart)


def _part(columns: EntryColumns, first: int, end: int) -> EntryColumns:
    """Return the entries of the cases from `first` on and before `end`, numbered from 0."""
    places = np.flatnonzero((columns.case >= first) & (columns.case < end))
    return columns.take(places).of_cases(columns.case[places] - first, end - first)


def _columns_of_sales(sold: Sequence[SaleRow], sellers: Sequence[str]) -> tuple[EntryColumns, Sequence[str]]:
    """Return statements of exposure as columns, and their product categories by code.

    One case a seller. Made column by column, without an object a row.
    """
    nothing = np.zeros(len(sold), dtype=np.int64)
    columns = dict.fromkeys((f.name for f in fields(EntryColumns)), nothing)
    products: Sequence[str] = ()
    if sold:
        *names, report_time, day, categories, revision, orders, failures = zip(*sold, strict=True)
        numbers = {"report_time": report_time, "day": day, "revision": revision, "orders": orders, "failures": failures}
        columns |= {name: np.array(column, dtype=np.int64) for name, column in numbers.items()}
        products = tuple(dict.fromkeys(categories))
        columns["product"] = _codes(categories, ()) if len(products) > 1 else nothing
        columns["case"] = _codes(names[0], sellers) if names else nothing
    columns["kind"] = np.full(len(sold), int(Kind.EXPOSURE), dtype=np.int64)
    return EntryColumns(**(columns | {"cases": len(sellers)})), products  # type: ignore[arg-type]


def _codes(texts: Sequence[str], known: Sequence[str]) -> Ints:
    """Return a code for each text; equal texts have equal codes.

    Codes of texts in `known` are their places there; others follow.
    """
    code_of = {text: code for code, text in enumerate(dict.fromkeys((*known, *texts)))}
    return np.array([code_of[text] for text in texts], dtype=np.int64)
