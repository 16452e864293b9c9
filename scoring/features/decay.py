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
AMOUNT_BITS = 11
"""Amounts have four limbs."""

EXACT = 1 << 53
"""Whole numbers below are exact in float64."""

FEW_SLOTS = 4_096
"""Products of whole matrices take no longer up to so many."""

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


def add_up(weight: Ints, column: Ints, amounts: Ints, place: Ints, places: int) -> Floats:
    """Return the exact sums of weight x amount by place, each rounded once, of shape (rows, places).

    `weight`: below 2^48, of shape (rows, columns). Amounts of 2^29 at one place: each below 2^44, with weights up to 2^20.
    `add_up([[2, 3, 5]], [0, 1, 2], [10, 1, 1], [0, 0, 2], 3)` is 23, 0, 5.
    """
    counted = np.flatnonzero(amounts)
    column, amounts, place = column[counted], amounts[counted], place[counted]
    if not len(counted) or not len(weight):
        return np.zeros((len(weight), places))
    if np.bincount(place, weight.max(axis=0)[column].astype(np.float64) * amounts).max() < EXACT // 2:
        return _add_up_as_floats(weight, column, amounts, place, places)
    if np.bincount(place, amounts).max() < EXACT >> LIMB_BITS:
        return _join_limb_sums(
            [_add_up_as_floats(part, column, amounts, place, places) for part in split_limbs(weight)], LIMB_BITS
        )
    parts = [amounts >> shift & ((1 << AMOUNT_BITS) - 1) for shift in range(3 * AMOUNT_BITS, -1, -AMOUNT_BITS)]
    return _join_limb_sums([_add_up_as_floats(weight, column, part, place, places) for part in parts], AMOUNT_BITS)


def _add_up_as_floats(weight: Ints, column: Ints, amounts: Ints, place: Ints, places: int) -> Floats:
    """Return the sums of weight x amount by place; exact as far as float64 is."""
    columns = weight.shape[1]
    if columns * places <= FEW_SLOTS:
        table = np.bincount(column * places + place, amounts, columns * places).reshape(columns, places)
        return np.asarray(weight.astype(np.float64) @ table, dtype=np.float64)
    if (place[1:] < place[:-1]).any():
        order = np.argsort(place, kind="stable")
        column, amounts, place = column[order], amounts[order], place[order]
    starts = np.flatnonzero(first_of_runs(place))
    rows = csr_array((amounts.astype(np.float64), column, np.append(starts, len(place))), (len(starts), columns))
    out = np.zeros((len(weight), places))
    out[:, place[starts]] = (rows @ np.ascontiguousarray(weight.T, dtype=np.float64)).T
    return out


def _join_limb_sums(sums: Sequence[Floats], bits: int) -> Floats:
    """Return the sum of limbs, the highest first, rounded once to float64."""
    high, low = np.zeros((2, *sums[0].shape), dtype=np.int64)
    for limb, of_limb in enumerate(reversed(sums)):
        high += of_limb.astype(np.int64)
        low += (high & ((1 << bits) - 1)) << bits * limb
        high >>= bits
    return np.asarray(high * float(1 << bits * len(sums)) + low, dtype=np.float64)


def split_limbs(values: Ints) -> tuple[Ints, Ints]:
    return values >> LIMB_BITS, values & ((1 << LIMB_BITS) - 1)


def join_limbs(limbs: Floats | Sequence[Ints]) -> Floats:
    """Return high x 2^LIMB_BITS + low, rounded once to float64; `limbs`: (high, low)."""
    return np.asarray(limbs[0] * float(1 << LIMB_BITS) + limbs[1], dtype=np.float64)
