"""The same seller under two names: histories and rows that are alike beyond chance."""

import numpy as np
from numpy.typing import NDArray

from scoring.enums import Kind
from scoring.features.columns import Ints
from scoring.time import DAY
from training.checks.check import Check
from training.fitting.folds import mix
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot

LEAST_ENTRIES = 5
"""Entries that a history needs to be alike by more than chance."""
LEAST_INCIDENTS = 3
MOST_SHARE = 0.01


def duplicated_histories(table: LedgerTable, train: Ints, test: Ints) -> Check:
    """Tested sellers (codes) whose whole history, at least LEAST_ENTRIES exposures and violations, is that of a seller in
    training under another id, identity attributes and all.
    """
    tested, print_of = np.unique(test), fingerprints(table)
    trained = np.unique(train)
    key, owner = print_of[trained], trained
    order = np.argsort(key, kind="stable")
    key, owner = key[order], owner[order]
    wanted = print_of[tested]
    first, end = np.searchsorted(key, wanted, "left"), np.searchsorted(key, wanted, "right")
    # A seller in training itself is not its own twin.
    itself = np.isin(tested, trained)
    has_twin = (wanted != 0) & (end - first > itself)
    share = float(has_twin.mean()) if len(tested) else 0.0
    examples = [table.sellers[code] for code in tested[has_twin][:3].tolist()]
    text = f"{int(has_twin.sum())} of {len(tested)} tested sellers have the history of a seller in training under another id"
    return Check(
        "duplicated_sellers",
        share <= MOST_SHARE,
        share,
        text + (f", such as {', '.join(examples)}" if examples else ""),
        MOST_SHARE,
    )


def fingerprints(table: LedgerTable) -> NDArray[np.uint64]:
    """A number for each seller's whole history and identity, equal where these are; 0 for short histories."""
    columns = table.columns
    entries = columns.take(np.isin(columns.kind, (Kind.EXPOSURE, Kind.VIOLATION)))
    times = np.where(entries.kind == Kind.EXPOSURE, entries.day * DAY, entries.occur_time)
    code = np.zeros(len(entries.case), dtype=np.uint64)
    for part in (entries.kind, times, entries.category, entries.severity, entries.product, entries.orders):
        code = mix(code ^ part.astype(np.uint64))
    found = np.zeros(columns.cases, dtype=np.uint64)
    np.add.at(found, entries.case, code)  # in whichever order they were told
    number = np.bincount(entries.case, minlength=columns.cases)
    found = mix(mix(found) ^ _identities(table))
    return np.where(number >= LEAST_ENTRIES, found, np.uint64(0))


def _identities(table: LedgerTable) -> NDArray[np.uint64]:
    """A number for each seller's country and attributes."""
    columns = table.columns
    rows = columns.take(columns.kind == Kind.IDENTITY)
    texts: dict[tuple[object, ...], int] = {}
    keys = [(table.stated.country[row], *sorted(table.attributes.get(row, {}).items())) for row in rows.row.tolist()]
    code = np.array([texts.setdefault(key, len(texts)) for key in keys], dtype=np.uint64)
    found = np.zeros(columns.cases, dtype=np.uint64)
    np.add.at(found, rows.case, mix(code))
    return found


def identical_rows(rows: Snapshot) -> Check:
    """Rows of one observation day with at least LEAST_INCIDENTS incidents whose features are those of another seller."""
    rows = rows.take(rows.raw_count >= LEAST_INCIDENTS)
    code = mix(rows.day.astype(np.uint64))
    for column in rows.x.T:
        code = mix(code ^ np.ascontiguousarray(column).view(np.uint64))
    _, place, number = np.unique(code, return_inverse=True, return_counts=True)
    share = float((number[place] > 1).mean()) if len(code) else 0.0
    return Check(
        "identical_rows",
        share <= MOST_SHARE,
        share,
        f"{share:.2%} of the {len(code)} rows with {LEAST_INCIDENTS} incidents or more have the very features of another"
        " seller on the same day",
        MOST_SHARE,
    )
