"""Small numbers are hidden, so that neither a cell nor a difference of totals shows a single seller.

A total from 1 to 4 is hidden. If a cell is from 1 to 4, cells below 5 are stated together with the next larger ones. A
month is divided by BY_MONTH alone; a year divides the sum of its shown months, so it tells nothing about one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from scoring.base.enums import ShownState
from scoring.base.frozen import frozen

BY_MONTH = frozenset({"source"})
"""The dimensions of a month."""
LEAST = 5


@frozen
class Split:
    cells: Mapping[str, int]
    together: tuple[str, ...] = ()
    """The names of the cells that are stated only together, as the rest of the total."""


@frozen
class Amount:
    """One month's number; `splits`: by dimension, the cells that add up to it."""

    total: int = 0
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def is_small(self) -> bool:
        return 0 < self.total < LEAST


@frozen
class ShownCount:
    state: ShownState
    count: int = 0
    """0 if hidden."""
    splits: Mapping[str, Split] = field(default_factory=dict)


def find_cells_to_join(cells: Mapping[str, int]) -> frozenset[str]:
    """Return the cells that may be shown only together.

    The next larger cells join, all that are equal, so each cell of the group may have the number of any other.
    """
    if not any(0 < count < LEAST for count in cells.values()):
        return frozenset()
    following = min((count for count in cells.values() if count >= LEAST), default=LEAST)
    return frozenset(name for name, count in cells.items() if count <= following)


def show(months: Sequence[Amount], by_month: frozenset[str] = BY_MONTH) -> ShownCount:
    """Return what may be shown of one month, or of the sum of several.

    Hidden months count if their sum tells none of them; else the sum leaves them out. Worked: 3 and 4 are shown as 7; 3
    alone, or 4 and 4, are left out.
    """
    parts, small = [month for month in months if not month.is_small], [month for month in months if month.is_small]
    if _keeps_each_hidden([one.total for one in small]):
        parts, small = [*parts, add_up(small)], []
    total = sum(part.total for part in parts)
    if small and not total:
        return ShownCount(ShownState.HIDDEN)
    splits = {}
    for name, cells in add_up(parts).splits.items():
        if name in by_month:
            together = frozenset[str]().union(*(find_cells_to_join(part.splits[name]) for part in parts))
        elif len(months) > 1:
            together = find_cells_to_join(cells)
        else:
            continue
        visible = {cell: count for cell, count in cells.items() if cell not in together}
        splits[name] = Split(visible, tuple(sorted(together)))
    return ShownCount(ShownState.AT_LEAST if small else ShownState.EXACT, total, splits)


def add_up(months: Iterable[Amount]) -> Amount:
    total, splits = 0, dict[str, Counter[str]]()
    for month in months:
        total += month.total
        for name, cells in month.splits.items():
            splits.setdefault(name, Counter()).update(cells)
    return Amount(total, splits)


def _keeps_each_hidden(hidden: Sequence[int]) -> bool:
    """Return whether numbers from 1 to 4 stay open if their sum is known."""
    total = sum(hidden)
    return len(hidden) >= 2 and total >= LEAST and len(hidden) < total < len(hidden) * (LEAST - 1)
