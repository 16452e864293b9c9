from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEVER = int(np.iinfo(np.int64).max)
"""Absence of a time or day."""


MAX_TOTAL = 10**18
"""The largest sum in minor units that fits into 64 bits."""


def add_up_amounts(amounts: Ints, case: Ints, cases: int) -> Ints:
    """Add up amounts of 0 to 10^15 by case, without overflow; a larger sum becomes MAX_TOTAL (10^18)."""
    high, low = np.zeros((2, cases), dtype=np.int64)
    np.add.at(high, case, amounts >> 30)
    np.add.at(low, case, amounts & (1 << 30) - 1)
    high += low >> 30
    is_over = high > MAX_TOTAL >> 30
    totals: Ints = np.where(is_over, MAX_TOTAL, (np.where(is_over, 0, high) << 30) + (low & (1 << 30) - 1))
    return np.minimum(totals, MAX_TOTAL)


def first_of_runs(*keys: NDArray[Any]) -> Bools:
    """Return whether each row begins a run of equal rows: `first_of_runs([3, 3, 5]) == [True, False, True]`."""
    first = np.ones(len(keys[0]), dtype=np.bool_)
    first[1:] = _find_changes(keys)
    return first


def last_of_runs(*keys: NDArray[Any]) -> Bools:
    """Return whether each row ends a run of equal rows: `last_of_runs([3, 3, 5]) == [False, True, True]`."""
    last = np.ones(len(keys[0]), dtype=np.bool_)
    last[:-1] = _find_changes(keys)
    return last


def reduce_runs(combine: np.ufunc, values: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[Any]:
    """Combine the runs that begin at `starts` along the last axis; runs of one value each stay as they are."""
    if len(starts) == values.shape[-1]:
        return values
    combined: NDArray[Any] = combine.reduceat(values, starts, axis=-1)
    return combined


def _find_changes(keys: tuple[NDArray[Any], ...]) -> Bools:
    changes: Bools = keys[0][1:] != keys[0][:-1]
    for key in keys[1:]:
        changes |= key[1:] != key[:-1]
    return changes


def split_sizes(sizes: Ints, most: int) -> Iterator[slice]:
    """Yield slices of at most `most` items with a total size of at most `most`; a larger item is alone.

    Worked: sizes 2, 3, 4 with at most 5 give 0 to 2 and 2 to 3.
    """
    before, start = np.cumsum(sizes) - sizes, 0
    while start < len(sizes):
        stop = int(np.searchsorted(before + sizes, before[start] + most, side="right"))
        stop = max(min(stop, start + most), start + 1)
        yield slice(start, stop)
        start = stop
