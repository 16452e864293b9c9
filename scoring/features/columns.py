"""Entries as columns, for one seller and for a million: made of the ledger's rows, or of its export."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import NEVER, Bools, Ints
from scoring.base.enums import Kind
from scoring.base.frozen import frozen


class FactRow(NamedTuple):
    """Times in microseconds; values that a kind lacks are None."""

    sequence: int
    entry_id: str
    seller: str
    kind: int
    occur_time: int
    report_time: int
    violation: str | None = None
    incident: str | None = None
    category: int | None = None
    severity: int | None = None
    status: int | None = None
    """The new status, or the number of the outcome."""
    exposure_day: int | None = None
    product_category: str | None = None
    revision: int | None = None
    settled_orders: int | None = None
    service_failures: int | None = None
    identity_level: int | None = None
    target: str | None = None
    """Id of another thing concerned, such as the corrected entry."""
    units: int | None = None
    until_time: int | None = None
    source: int | None = None
    """The inspecting source of an inspection; the reporting source of a violation."""
    violation_type: int | None = None
    attributes: Mapping[str, str] | None = None
    listing: str | None = None


class OmittedAllegations(NamedTuple):
    """A seller's open allegations that its rows leave out."""

    allegations: int
    unchanged_until: int = NEVER
    """When the next one becomes visible, in microseconds; NEVER if all are visible."""


NOTHING_OMITTED: Mapping[str, OmittedAllegations] = MappingProxyType({})


@frozen
class EntryColumns:
    """n entries of `cases` cases in any order, each column int64 of shape (n,).

    A case is one seller at one observe time. Equal codes mean equal texts (-1: none). `entry`, `incident` and `target`
    share one code. `row` is the place in the caller's list.
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
        if isinstance(index, slice):
            return _LazyColumns(self, index)
        return _LazyColumns(self, np.flatnonzero(index) if index.dtype == np.bool_ else index)

    def of_cases(self, case: Ints, cases: int) -> "EntryColumns":
        """Return the entries under other case numbers; `case`: by entry, 0 to `cases` - 1."""
        return _LazyColumns(self, _ALL, case=case, cases=cases)

    def with_columns(self, **columns: Ints) -> "EntryColumns":
        return _LazyColumns(self, _ALL, **columns)


_ALL = slice(None)


class _LazyColumns(EntryColumns):
    """The entries at `places` of other columns, in int64; a column is copied when first read: most readers need few."""

    __slots__ = ("_places", "_source")
    _places: NDArray[Any] | slice
    _source: EntryColumns

    def __init__(self, source: EntryColumns, places: NDArray[Any] | slice, **known: int | Ints) -> None:
        for name, value in {"cases": source.cases, **known, "_source": source, "_places": places}.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Ints:
        # Called only for a column not yet read: its slot is empty until then.
        if name not in EntryColumns.__dataclass_fields__:
            raise AttributeError(name)
        column: Ints = getattr(self._source, name)
        column = column[self._places] if isinstance(self._places, slice) else column.take(self._places)
        column = column.astype(np.int64, copy=False)
        object.__setattr__(self, name, column)
        return column


def columns_of(rows: Iterable[FactRow], sellers: Iterable[str]) -> EntryColumns:
    """Turn ledger rows into one int64 array per field, in their order.

    A row's case is its seller's place in `sellers`; raise KeyError for another seller. Ids are numbered by first
    occurrence, -1 for none; other missing fields are 0.
    """
    case_of = {seller: case for case, seller in enumerate(sellers)}
    violations: dict[str, int] = {}
    products: dict[str, int] = {}
    names: dict[str, int] = {}
    flat: list[int] = []  # flattened: numpy reads numbers faster than tuples
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
    """Return the texts of `entry`, `incident` and `target` by code, as of `columns_of`."""
    texts = (text for row in rows for text in (row.incident, row.entry_id, row.target) if text is not None)
    return list(dict.fromkeys(texts))


NO_VALUES: Mapping[str, Sequence[int]] = MappingProxyType({})

SaleRow = tuple[Any, ...]
"""(seller, report time, day, product category, revision, settled orders, service failures); without seller if all are
of one.
"""


@frozen
class FactTable:
    """The entries of sellers, as a score reads them; exposure may come as columns alone."""

    rows: Sequence[FactRow]
    columns: EntryColumns
    """From `rows`, one case per seller."""
    sales: EntryColumns | None = None
    """Valid exposure outside `rows`; or None."""
    products: Sequence[str] = ()
    """The product categories of `sales` by code."""
    values: Mapping[str, Ints] = field(default_factory=dict)
    """By currency, in minor units, of each statement in `sales`, by its `row`; empty if nobody asked."""
    midnights: Ints | None = None
    """Points at the last midnights by an answer of the same model on the same facts, of shape (midnights, sellers); -1:
    unknown.
    """

    def __len__(self) -> int:
        return len(self.columns.case) + (0 if self.sales is None else len(self.sales.case))

    def rows_by_case(self) -> list[list[FactRow]]:
        by_case: list[list[FactRow]] = [[] for _ in range(self.columns.cases)]
        for case, row in zip(self.columns.case.tolist(), self.columns.row.tolist(), strict=True):
            by_case[case].append(self.rows[row])
        return [sorted(rows, key=attrgetter("sequence")) for rows in by_case]


def tabulate(
    rows: Sequence[FactRow],
    sellers: Sequence[str],
    sold: Sequence[SaleRow] | None = None,
    values: Mapping[str, Sequence[int]] = NO_VALUES,
) -> FactTable:
    """Turn rows into a table, by case: a seller's place in `sellers`.

    `sellers` must hold the seller of each row (else KeyError) and of each sale. `sold`: exposure outside the rows;
    `values`: by currency, one for each of `sold`.
    """
    if sold is None:
        return FactTable(rows, columns_of(rows, sellers))
    by_currency = {currency: np.array(of_sales, dtype=np.int64) for currency, of_sales in values.items()}
    return FactTable(rows, columns_of(rows, sellers), *_tabulate_sales(sold, sellers), by_currency)


def _tabulate_sales(sold: Sequence[SaleRow], sellers: Sequence[str]) -> tuple[EntryColumns, Sequence[str]]:
    """Return sales as entries, and their product categories by code."""
    zeros = np.zeros(len(sold), dtype=np.int64)
    columns = dict.fromkeys((f.name for f in fields(EntryColumns)), zeros)
    products: Sequence[str] = ()
    if sold:
        *seller_column, report_time, day, categories, revision, orders, failures = zip(*sold, strict=True)
        numbers = {"report_time": report_time, "day": day, "revision": revision, "orders": orders, "failures": failures}
        columns |= {name: np.array(column, dtype=np.int64) for name, column in numbers.items()}
        products = tuple(dict.fromkeys(categories))
        columns["product"] = _number_texts(categories, ()) if len(products) > 1 else zeros
        columns["case"] = _number_texts(seller_column[0], sellers) if seller_column else zeros
    columns["row"] = np.arange(len(sold))
    columns["kind"] = np.full(len(sold), int(Kind.EXPOSURE), dtype=np.int64)
    return EntryColumns(**(columns | {"cases": len(sellers)})), products  # type: ignore[arg-type]


def _number_texts(texts: Sequence[str], first: Sequence[str]) -> Ints:
    code_of = {text: code for code, text in enumerate(dict.fromkeys((*first, *texts)))}
    return np.array([code_of[text] for text in texts], dtype=np.int64)
