from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest

from scoring.answers.hiding import LEAST, Amount, ShownCount, show
from scoring.base.enums import ShownState

BY = frozenset({"by"})


def month(cells: Iterable[int]) -> Amount:
    named = {f"c{place}": count for place, count in enumerate(cells)}
    return Amount(sum(named.values()), {"by": named})


def told(shown: ShownCount) -> tuple[Any, ...]:
    """Return what a reader sees."""
    splits = {
        name: (sorted(split.cells.items()), split.together) for name, split in shown.splits.items() if shown.count
    }
    return shown.state, shown.count, str(splits)


@pytest.mark.parametrize("cells", [2, 3, 4])
def test_no_small_cell_follows_from_what_is_shown(cells: int) -> None:
    seen: dict[Any, list[tuple[int, ...]]] = {}
    for counts in product(range(9), repeat=cells):
        seen.setdefault(told(show([month(counts)], BY)), []).append(counts)
    for tables in seen.values():
        for counts in tables:
            for place, count in enumerate(counts):
                if 0 < count < LEAST:
                    assert len({other[place] for other in tables}) > 1, (counts, tables)


@pytest.mark.parametrize("by_month", [BY, frozenset()])
def test_a_year_tells_no_hidden_number_of_a_month(by_month: frozenset[str]) -> None:
    seen: dict[Any, list[tuple[int, ...]]] = {}
    for counts in product(range(8), repeat=4):
        months = [month(counts[:2]), month(counts[2:])]
        seen.setdefault((told(show(months, by_month)), *(told(show([one], by_month)) for one in months)), []).append(
            counts
        )
    for tables in seen.values():
        for first in (0, 2):
            totals = {sum(counts[first : first + 2]) for counts in tables}
            assert len(totals) > 1 or not 0 < max(totals) < LEAST, tables
        for place in range(4) if by_month else ():
            values = {counts[place] for counts in tables}
            assert len(values) > 1 or not 0 < max(values) < LEAST, tables


@pytest.mark.parametrize(
    ("months", "state", "count"),
    [
        ([3], ShownState.HIDDEN, 0),
        ([0], ShownState.EXACT, 0),
        ([7, 3], ShownState.AT_LEAST, 7),
        ([3, 4, 9], ShownState.EXACT, 16),
        ([4, 4, 9], ShownState.AT_LEAST, 9),
        ([1, 1, 1, 1, 1, 9], ShownState.AT_LEAST, 9),
    ],
)
def test_a_year_is_the_sum_of_its_months(months: list[int], state: ShownState, count: int) -> None:
    shown = show([Amount(total) for total in months])
    assert (shown.state, shown.count) == (state, count)


def test_cells_and_what_is_together_add_up() -> None:
    months = [month([40, 3, 0, 9]), month([8, 6, 9, 9])]
    for by_month, together in ((BY, ("c1", "c2", "c3")), (frozenset[str](), ())):
        split = show(months, by_month).splits["by"]
        assert split.together == together
        assert sum(split.cells.values()) + (36 if together else 0) == 84
    assert not show(months[:1]).splits
