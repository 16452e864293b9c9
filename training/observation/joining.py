"""Joins of arrays by whole numbers."""

import numpy as np

from scoring.base.arrays import Ints


def find_places(keys: Ints, wanted: Ints) -> Ints:
    """Return the place of each wanted number among keys in any order, the first of equal ones; -1 if missing.

    Worked: 7 and 5 among the keys 5, 7, 7 are at 1 and 0.
    """
    if not len(keys):
        return np.full(len(wanted), -1)
    order = np.argsort(keys, kind="stable")
    place = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[place] == wanted, place, -1)


def list_ranges(first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """Return (index of the range, number) of every number of some ranges.

    Worked: `count` 2 and 1 numbers from `first` 5 and 9 on give the ranges 0, 0, 1 and the numbers 5, 6, 9.
    """
    owner = np.repeat(np.arange(len(count), dtype=np.int64), count)
    return owner, np.arange(len(owner), dtype=np.int64) + np.repeat(first - (np.cumsum(count) - count), count)
