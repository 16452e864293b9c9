"""Find the same seller under two names: histories and rows that are alike beyond chance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import Kind
from scoring.base.time import DAY
from training.checks.check import Check
from training.evaluation.arrays import Interval, sigmoid, widen_by_poisson
from training.fitting.fit import base_log_odds
from training.fitting.folds import mix
from training.fitting.logistic import Logistic
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot
from training.study.definition import Study

MIN_ENTRIES = 5
MIN_INCIDENTS = 3
MAX_SHARE = 0.01


def duplicated_histories(table: LedgerTable, train: Ints, test: Ints) -> Check:
    """Check that at most MAX_SHARE of the tested sellers have the history of a training seller with another id.

    `train`, `test`: codes of sellers, in any order and number.
    """
    tested, print_of = np.unique(test), fingerprints(table)
    trained = np.unique(train)
    key, owner = print_of[trained], trained
    order = np.argsort(key, kind="stable")
    key, owner = key[order], owner[order]
    wanted = print_of[tested]
    first, end = np.searchsorted(key, wanted, "left"), np.searchsorted(key, wanted, "right")
    itself = np.isin(tested, trained)
    has_twin = (wanted != 0) & (end - first > itself)
    share = float(has_twin.mean()) if len(tested) else 0.0
    examples = [table.sellers[code] for code in tested[has_twin][:3].tolist()]
    text = f"{int(has_twin.sum())} of {len(tested)} tested sellers have the history of a seller in training under another id"
    return Check(
        "duplicated_sellers",
        share <= MAX_SHARE,
        share,
        text + (f", such as {', '.join(examples)}" if examples else ""),
        MAX_SHARE,
    )


def fingerprints(table: LedgerTable) -> NDArray[np.uint64]:
    """Return a hash of each seller's whole history and identity, uint64 of shape (sellers,), in the table's order.

    0 for fewer than MIN_ENTRIES exposures and violations.
    """
    columns = table.columns
    entries = columns.take(np.isin(columns.kind, (Kind.EXPOSURE, Kind.VIOLATION)))
    times = np.where(entries.kind == Kind.EXPOSURE, entries.day * DAY, entries.occur_time)
    code = np.zeros(len(entries.case), dtype=np.uint64)
    for part in (entries.kind, times, entries.category, entries.severity, entries.product, entries.orders):
        code = mix(code ^ part.astype(np.uint64))
    found = np.zeros(columns.cases, dtype=np.uint64)
    np.add.at(found, entries.case, code)
    number = np.bincount(entries.case, minlength=columns.cases)
    found = mix(mix(found) ^ _hash_identities(table))
    return np.where(number >= MIN_ENTRIES, found, np.uint64(0))


def _hash_identities(table: LedgerTable) -> NDArray[np.uint64]:
    columns = table.columns
    rows = columns.take(columns.kind == Kind.IDENTITY)
    texts: dict[tuple[object, ...], int] = {}
    keys = [(table.stated.country[row], *sorted(table.attributes.get(row, {}).items())) for row in rows.row.tolist()]
    code = np.array([texts.setdefault(key, len(texts)) for key in keys], dtype=np.uint64)
    found = np.zeros(columns.cases, dtype=np.uint64)
    np.add.at(found, rows.case, mix(code))
    return found


@dataclass(frozen=True, slots=True)
class Agreement:
    observed: float
    """Chance that two rows of a group have one outcome."""
    expected: float
    """The same chance if the two outcomes were independent."""
    kappa: Interval


def identical_rows(rows: Snapshot, study: Study) -> Check:
    """Check that rows with another seller's features of the same day do not also share its outcome.

    Rows have at least MIN_INCIDENTS incidents. The check passes with the number 0 if at most MAX_SHARE of the rows are
    alike, or too few outcomes differ to judge. Otherwise the number is the share of alike rows times the lower bound,
    at least 0, of their `agreement` beyond a logistic model of the study. It passes up to MAX_SHARE. Worked: 100 of
    1,000 rows are alike in 50 pairs. A kappa of 0.6 (0.3 to 0.8) gives 0.1 x 0.3 = 0.03.
    """
    rows = rows.take(rows.raw_count >= MIN_INCIDENTS)
    code = mix(rows.day.astype(np.uint64))
    for column in rows.x.T:
        code = mix(code ^ np.ascontiguousarray(column).view(np.uint64))
    _, place, number = np.unique(code, return_inverse=True, return_counts=True)
    alike = number[place] > 1
    share = float(alike.mean()) if len(code) else 0.0
    text = (
        f"{share:.2%} of the {len(code)} rows with {MIN_INCIDENTS} incidents or more have the very features of another"
        " seller on the same day"
    )
    if share <= MAX_SHARE:
        return Check("identical_rows", True, 0.0, text, MAX_SHARE)
    if not MAX_SHARE * len(code) <= rows.bad.sum() <= (1 - MAX_SHARE) * len(code):
        return Check(
            "identical_rows", True, 0.0, f"{text}; too few outcomes differ to tell whether they agree", MAX_SHARE
        )
    log_odds = Logistic(rows, study).log_odds(rows)[alike]
    log_odds = log_odds + base_log_odds(rows.bad[alike], log_odds)
    found = agreement(place[alike], rows.bad[alike], sigmoid(log_odds), rows.seller[alike])
    proven = share * max(found.kappa.low, 0.0)
    sentence = (
        f"{text}; two of them have one outcome {found.observed:.1%} of the time where chance gives {found.expected:.1%}:"
        f" agreement beyond chance {found.kappa.value:.2f} ({found.kappa.low:.2f} to {found.kappa.high:.2f})"
    )
    return Check("identical_rows", proven <= MAX_SHARE, proven, sentence, MAX_SHARE)


def agreement(group: Ints, bad: Floats, p_bad: Floats, seller: Ints) -> Agreement:
    """Return Cohen's kappa, with its interval, of outcomes within groups of like rows.

    Arrays of shape (n,). `group`: any codes, each of at least two rows. `bad`: 0 or 1. `p_bad`: each row's chance to be
    bad, since like features predict like outcomes. `seller`: rows of one seller are dependent.

    Kappa is 1 - observed / expected disagreement. A group of m rows counts m times its share of pairs that disagree.
    Worked: 2 of 20 pairs disagree, at a chance of 0.5. Observed agreement is 0.9, expected 0.5, and kappa (0.9 - 0.5) /
    (1 - 0.5) = 0.8. Below thirty disagreeing pairs the interval also covers Poisson's: here 0.8 (0.28 to 1).
    """
    _, place, size = np.unique(group, return_inverse=True, return_counts=True)

    def by_group(values: Floats) -> Floats:
        return np.bincount(place, weights=values).astype(np.float64)

    bads, chance = by_group(bad), by_group(p_bad)
    differ = 2 * bads * (size - bads) / (size - 1)
    expected = 2 * (chance * (size - chance) - by_group(p_bad * (1 - p_bad))) / (size - 1)
    total = max(float(expected.sum()), 1e-12)
    ratio = float(differ.sum()) / total
    # Two names of one seller are alike on many days, so groups with the same first seller are drawn together.
    first = np.full(len(size), np.iinfo(np.int64).max)
    np.minimum.at(first, place, seller)
    _, cluster = np.unique(first, return_inverse=True)
    error = float(np.sqrt((np.bincount(cluster, weights=differ - ratio * expected) ** 2).sum())) / total
    interval = Interval.within(ratio, error).cut(0.0, np.inf)
    interval = widen_by_poisson(interval, int(differ.sum() / 2), 2 / total)
    kappa = Interval(1 - ratio, 1 - interval.high, 1 - interval.low)
    rows = float(size.sum())
    return Agreement(1 - float(differ.sum()) / rows, 1 - total / rows, kappa)
