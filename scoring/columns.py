"""Entries as columns: the one form in which facts reach the core, for one seller and for a million.

The ledger's rows (a request), and the ledger's export (training), both become an `EntryColumns`. Texts have become
dense codes by then, since the fold only asks whether two are equal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class FactRow(NamedTuple):
    """One entry of the ledger as the fold needs it. Times in microseconds; what a kind lacks is None.

    `violation` is the violation's id; `status` the one an entry leads to, or its word of outcome (`scoring.kinds`);
    `target` what else it is about; `units` distinct ones; `until_time` its end; `attributes` is set for identities.
    """

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
    exposure_day: int | None = None
    product_category: str | None = None
    revision: int | None = None
    settled_orders: int | None = None
    service_failures: int | None = None
    identity_level: int | None = None
    target: str | None = None
    units: int | None = None
    until_time: int | None = None
    attributes: Mapping[str, str] | None = None


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

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | Ints) -> "EntryColumns":
        """The entries at `index`, for the same cases."""
        places = np.flatnonzero(index) if index.dtype == np.bool_ else index  # once, not for each column
        columns = {f.name: getattr(self, f.name).take(places) for f in fields(self) if f.name != "cases"}
        return EntryColumns(cases=self.cases, **columns)

    def of_cases(self, case: Ints, cases: int) -> "EntryColumns":
        """The same entries, of other cases: entry i is of `case[i]`."""
        return replace(self, case=case, cases=cases)

    def repeat(self, times: int) -> "EntryColumns":
        """The same entries for `times` copies of the cases: copy k of case c is case `k * cases + c`."""
        n = len(self.case)
        columns = {f.name: np.tile(getattr(self, f.name), times) for f in fields(self) if f.name != "cases"}
        columns["case"] = columns["case"] + np.repeat(np.arange(times, dtype=np.int64) * self.cases, n)
        return EntryColumns(cases=self.cases * times, **columns)


def columns_of(rows: Iterable[FactRow], sellers: Iterable[str]) -> EntryColumns:
    """Columns of ledger rows in any order, for `sellers`, one case each in their order."""
    case_of = {seller: case for case, seller in enumerate(sellers)}
    violations: dict[str, int] = {}
    products: dict[str, int] = {}
    names: dict[str, int] = {}
    table = np.array(
        [
            (
                case_of[r.seller],
                row,
                r.sequence,
                r.kind,
                r.occur_time,
                r.report_time,
                -1 if r.violation is None else violations.setdefault(r.violation, len(violations)),
                -1 if r.incident is None else names.setdefault(r.incident, len(names)),
                r.category or 0,
                r.severity or 0,
                r.status or 0,
                r.exposure_day or 0,
                -1 if r.product_category is None else products.setdefault(r.product_category, len(products)),
                r.revision or 0,
                r.settled_orders or 0,
                r.service_failures or 0,
                r.identity_level or 0,
                names.setdefault(r.entry_id, len(names)),
                -1 if r.target is None else names.setdefault(r.target, len(names)),
                r.units or 0,
                r.until_time or 0,
            )
            for row, r in enumerate(rows)
        ],
        dtype=np.int64,
    ).reshape(-1, 21)
    return EntryColumns(len(case_of), *np.ascontiguousarray(table.T))


def names_of(rows: Iterable[FactRow]) -> list[str]:
    """The texts behind the codes of entries, incidents and targets that `columns_of` gives the same rows."""
    names: dict[str, None] = {}
    for r in rows:
        names |= dict.fromkeys(text for text in (r.incident, r.entry_id, r.target) if text is not None)
    return list(names)
