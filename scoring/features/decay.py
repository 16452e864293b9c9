"""The frozen decay tables: the weight of a fact by its age in whole UTC days, as integers.

Weight = round(2^40 * 2^(-age / half_life)). Each artifact contains its tables.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import cache

import numpy as np
from scipy.sparse import csr_array

from scoring.base.arrays import Floats, Ints, first_of_runs

HALF_LIVES = (7, 30, 90, 365)
"""In days."""

UNIT_BITS = 40
UNIT = 1 << UNIT_BITS
"""The weight of today's fact: 2^40."""

EXPOSURE_BITS = 20
"""The weight of exposure is 2^20, so a day's product with bounded orders fits into 64 bits."""

LIMB_BITS = 24

DENSE = 2
"""Products of whole matrices take no longer up to so many slots per fact."""

FEW_SLOTS = 4_096

_SPAN = UNIT_BITS + 1  # half-lives; from here on the weight is at most 1/2 of the last bit, which rounds to even: 0
_EXTRA_BITS = 80


@cache
def decay_table(half_life: int) -> tuple[int, ...]:
    """Return the weights by age in whole days, as integers, until they round to 0.

    `decay_table(30)[30] == 2**39`. The first `half_life` ages are exact decimals, the rest rounding shifts.
    """
    with localcontext() as context:
        context.prec = 60
        scale = Decimal(2) ** (UNIT_BITS + _EXTRA_BITS)
        first = [
            int((scale * Decimal(2) ** (Decimal(-age) / half_life)).to_integral_value(ROUND_HALF_EVEN))
            for age in range(half_life)
        ]
    table = []
    for age in range(half_life * _SPAN):
        shift = _EXTRA_BITS + age // half_life
        table.append((first[age % half_life] + (1 << (shift - 1))) >> shift)
    return tuple(table)


def add_up(weight: Ints, column: Ints, amounts: Ints, place: Ints, places: int, largest: int) -> Floats:
    """Return the exact sums of weight x amount by place, as limbs of shape (2, rows, P, places) for `join_limbs`.

    `weight` >= 0: at most 2^46, of shape (rows, columns). `column` and `place`, by fact, and `amounts` >= 0, of shape
    (P, facts). `largest`: a bound of weight x amount. `add_up([[2, 3, 5]], [0, 1, 2], [[10, 1, 1]], [0, 0, 2], 3, 50)`
    is 23, 0, 5.
    """
    (rows, columns), facts, kinds = weight.shape, len(column), len(amounts)
    out = np.zeros((2, rows, kinds, places))
    if not facts or not rows:
        return out
    if facts * largest < 1 << 63 and columns * places <= max(DENSE * facts, FEW_SLOTS):
        slots = column * places + place
        table = np.stack(
            [np.bincount(slots, amount, columns * places).reshape(columns, places) for amount in amounts], 1
        )
        exact = np.float64 if facts * largest < 1 << 53 else np.int64  # matrices of floats multiply faster
        sums = weight.astype(exact) @ table.reshape(columns, -1).astype(exact)
        return np.stack(split_limbs(sums.astype(np.int64))).reshape(out.shape).astype(np.float64)
    order = np.argsort(place, kind="stable")
    column, amounts, place = column[order], amounts[:, order], place[order]
    by_column, step = np.ascontiguousarray(weight.T), ((1 << 63) - 1) // max(largest, 1)
    for first in range(0, facts, step):  # the sums of so many facts fit into 64 bits
        part = slice(first, first + step)
        starts = np.flatnonzero(first_of_runs(place[part]))
        found, ends = place[part][starts], np.append(starts, len(place[part]))
        for kind, amount in enumerate(amounts[:, part]):
            sums = csr_array((amount, column[part], ends), shape=(len(starts), columns)) @ by_column
            for limb, of_sums in zip(out, split_limbs(sums), strict=True):
                limb[:, kind, found] += of_sums.T
    return out


def split_limbs(values: Ints) -> tuple[Ints, Ints]:
    """Return the values above their lowest LIMB_BITS bits, and these bits; their sums never wrap."""
    return values >> LIMB_BITS, values & ((1 << LIMB_BITS) - 1)


def join_limbs(limbs: Floats | Sequence[Ints]) -> Floats:
    """Return high x 2^LIMB_BITS + low, rounded once to float64; `limbs`: (high, low)."""
    return np.asarray(limbs[0] * float(1 << LIMB_BITS) + limbs[1], dtype=np.float64)
