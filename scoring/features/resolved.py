from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import NOTHING_OMITTED, EntryColumns, FactRow, FactTable, OmittedAllegations
from scoring.features.facts import VisibleFacts, apply_changes, find_visible
from scoring.features.views import Views, view_at_times


@frozen
class SellerFacts:
    """The known entries of some sellers, one case each, as seen at one time."""

    sellers: Sequence[str]
    table: FactTable
    observe_time: int
    """In microseconds."""
    omitted: Mapping[str, OmittedAllegations]
    """By seller, open allegations missing in the table, which are only counted."""
    columns: EntryColumns
    """The table's, after corrections, merges and splits."""
    visible: VisibleFacts

    def view(self, midnights: Sequence[int] = ()) -> Views:
        """Return views now, at each of `midnights` (microseconds), and now with open allegations upheld."""
        return view_at_times(self.visible, [self.observe_time, *midnights, self.observe_time])


def resolve_sellers(
    sellers: Sequence[str],
    table: FactTable,
    observe_time: int,
    omitted: Mapping[str, OmittedAllegations] = NOTHING_OMITTED,
) -> SellerFacts:
    """Resolve the facts of `sellers`, the table's cases, at a time; decisions reported later count, too."""
    columns = apply_changes(table.columns)
    now = np.full(columns.cases, observe_time, dtype=np.int64)
    visible = find_visible(columns, now, sales=table.sales)
    return SellerFacts(sellers, table, observe_time, omitted, columns, visible)


def resolve_at_times(seller_facts: SellerFacts, times: Sequence[int]) -> SellerFacts:
    """Resolve one seller's facts at several times that lie whole days apart, one case each.

    A case is moved to the last of `times`, so ages stay.
    """
    [seller] = seller_facts.sellers
    shift = times[-1] - np.array(times, dtype=np.int64)
    table = seller_facts.table
    moved = replace(
        table,
        columns=_move_cases(table.columns, shift),
        sales=table.sales and _move_cases(table.sales, shift),
        midnights=None,
    )
    return resolve_sellers([f"{seller}#{number}" for number in range(len(times))], moved, times[-1])


def _move_cases(columns: EntryColumns, shift: Ints) -> EntryColumns:
    """Return a copy of the entries for each case, later by its shift."""
    count, cases = len(columns.case), len(shift)
    case = np.repeat(np.arange(cases), count)
    copies, later = columns.take(np.tile(np.arange(count), cases)).of_cases(case, cases), shift[case]
    return copies.with_columns(
        occur_time=copies.occur_time + later,
        report_time=copies.report_time + later,
        day=copies.day + later // DAY,
        until=np.where(copies.until > 0, copies.until + later, copies.until),
    )


def resolve_as_reported(sellers: Sequence[str], table: FactTable, time: int) -> SellerFacts:
    """Resolve the facts of `sellers` at a past time, by the entries reported before it alone."""
    columns = table.columns.take(table.columns.report_time < time)
    sales = table.sales and table.sales.take(table.sales.report_time < time)
    return resolve_sellers(sellers, replace(table, columns=columns, sales=sales), time)


def attributes_of(rows: Sequence[FactRow], identity_row: Sequence[int]) -> list[Mapping[str, str]]:
    """Return the attributes of stated identities by their places in `rows`; none for -1."""
    return [(rows[row].attributes or {}) if row >= 0 else {} for row in identity_row]
