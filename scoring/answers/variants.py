"""Variants of one seller's facts, each a case of its own, so that one pass answers all of them."""

from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise

import numpy as np

from scoring.base.arrays import Bools
from scoring.base.enums import Kind
from scoring.base.frozen import frozen
from scoring.features.columns import EntryColumns, FactRow, FactTable, SaleRow, tabulate
from scoring.features.resolved import SellerFacts, resolve_sellers

_CHANGING = (Kind.STATUS, Kind.ATTRIBUTION)


@frozen
class Variant:
    without: frozenset[str] = frozenset()
    """Removed ids; with a report everything about its violation goes."""
    without_failures: bool = False
    added: Sequence[FactRow] = ()
    sold: Sequence[SaleRow] = ()
    """Added exposure."""


def resolve_variants(seller_facts: SellerFacts, variants: Sequence[Variant], observe_time: int) -> SellerFacts:
    """Return the facts of each variant of one seller, one case each, at a time in microseconds."""
    [seller] = seller_facts.sellers
    table_before, cases = seller_facts.table, len(variants)
    rows = [*table_before.rows, *(row for variant in variants for row in variant.added)]
    entries = table_before.columns if len(rows) == len(table_before.rows) else tabulate(rows, [seller]).columns
    places, case, added = [], [], len(table_before.rows)
    for number, variant in enumerate(variants):
        is_kept = np.ones(len(rows), dtype=np.bool_)
        is_kept[len(table_before.rows) :] = False
        is_kept[added : added + len(variant.added)] = True
        added += len(variant.added)
        if variant.without:
            is_kept &= ~_find_removed_rows(rows, variant.without)
        places.append(np.flatnonzero(is_kept))
        case.append(np.full(len(places[-1]), number))
    columns = entries.take(np.concatenate(places)).of_cases(np.concatenate(case), cases)
    table = FactTable(rows, columns, _build_sales(table_before, seller, variants), table_before.products)
    names = [f"{seller}#{number}" for number in range(cases)]
    omitted = dict.fromkeys(names, seller_facts.omitted[seller]) if seller in seller_facts.omitted else {}
    return resolve_sellers(names, table, observe_time, omitted)


def _find_removed_rows(rows: Sequence[FactRow], without: frozenset[str]) -> Bools:
    return np.array(
        [
            row.entry_id in without or (row.kind in _CHANGING and row.violation in without) or row.target in without
            for row in rows
        ],
        dtype=np.bool_,
    )


def _build_sales(table_before: FactTable, seller: str, variants: Sequence[Variant]) -> EntryColumns | None:
    sales = table_before.sales
    if sales is None:
        return None
    recorded = np.arange(len(sales.case))
    added = tabulate((), [seller], [sale for variant in variants for sale in variant.sold]).sales
    if added is not None and len(added.case):
        names = [field.name for field in fields(EntryColumns) if field.name != "cases"]
        sales = EntryColumns(1, **{n: np.concatenate([getattr(sales, n), getattr(added, n)]) for n in names})
    ends = len(recorded) + np.cumsum([0, *(len(variant.sold) for variant in variants)])
    places = [np.append(recorded, np.arange(*of_variant)) for of_variant in pairwise(ends.tolist())]
    case = np.repeat(np.arange(len(variants)), [len(of_variant) for of_variant in places])
    sales = sales.take(np.concatenate(places)).of_cases(case, len(variants))
    keeps = np.array([not variant.without_failures for variant in variants])
    return sales if keeps.all() else sales.with_columns(failures=sales.failures * keeps[case])
