"""Entries in parts of whole sellers: each fits the processor's cache."""

from collections.abc import Iterator

import numpy as np

from scoring.base.arrays import Ints, split_sizes
from scoring.features.columns import EntryColumns
from training.observation.joining import list_ranges


def split_by_sellers(columns: EntryColumns, most: int) -> Iterator[tuple[slice, EntryColumns]]:
    """Yield (slice of cases, their entries, numbered from 0) of parts of whole sellers, at least one part.

    `columns` must be sorted by case; a part has at most `most` entries, unless one seller has more.
    """
    if not columns.cases:
        yield slice(0, 0), columns
    count = np.bincount(columns.case, minlength=columns.cases).astype(np.int64)
    end = np.cumsum(count)
    for cases in split_sizes(count, most):
        part = columns.take(slice(int(end[cases.start] - count[cases.start]), int(end[cases.stop - 1])))
        yield cases, part.of_cases(part.case - cases.start, cases.stop - cases.start)


def take_sellers(columns: EntryColumns, sellers: Ints) -> EntryColumns:
    """Return the entries of `sellers`, ascending codes, numbered from 0 now. `columns` must be sorted by case."""
    first, end = (np.searchsorted(columns.case, sellers, side) for side in ("left", "right"))
    case, index = list_ranges(first, end - first)
    return columns.take(index).of_cases(case, len(sellers))
