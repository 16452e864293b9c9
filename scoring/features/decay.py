"""The frozen decay tables: the weight of a fact by its age in whole UTC days, as integers.

Weight = round(2^40 * 2^(-age / half_life)). Integer sums do not depend on order, shards or engines, so all folds are
equal to the last bit. Each artifact contains its tables.
"""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import cache

import numpy as np

from scoring.base.arrays import Bools, Floats, Ints, first_of_runs

HALF_LIVES = (7, 30, 90, 365)
"""In days."""

UNIT_BITS = 40
UNIT = 1 << UNIT_BITS
"""The weight of today's fact: 2^40."""

EXPOSURE_BITS = 20
"""The weight of exposure is 2^20, so a day's product with bounded orders fits into 64 bits."""

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


def exact_sums(values: Ints, group: Ints, groups: int) -> Floats:
    """Return the sum of the values of each group, float64 of shape (groups,), rounded once.

    `values`: int64 >= 0; `group`: of each value. Two limbs of 24 and 39 bits never wrap. `exact_sums([2**40, 1], [0,
    0], 1) == [2**40 + 1]`.
    """
    high = np.bincount(group, weights=values >> 24, minlength=groups)
    low = np.bincount(group, weights=values & 0xFFFFFF, minlength=groups)
    return np.asarray(high * float(1 << 24) + low, dtype=np.float64)


def sum_by_case(values: Ints | Bools, amounts: Ints | None, case: Ints, n: int, bits: int) -> Floats:
    """Return the sums of `values`, times `amounts` if given, by case: exact, shape (..., n).

    Rounded once to float64. `values` >= 0, shape (..., facts), are at most 2^bits; `case`, shape (facts,), is sorted.
    `sum_by_case([[2, 3, 5]], [10, 1, 1], [0, 0, 2], 3, 3) == [[23, 0, 5]]`.
    """
    starts = np.flatnonzero(first_of_runs(case))
    out = np.zeros((*values.shape[:-1], n))
    if not len(starts):
        return out
    largest = 1 if amounts is None else int(amounts.max())
    if (len(case) * largest) << bits < 1 << 63:
        added = values if amounts is None else values * amounts
        sums = np.add.reduceat(added, starts, axis=-1, dtype=np.int64)
    else:
        added = values.astype(np.int64) if amounts is None else values * amounts
        high, low = (np.add.reduceat(limb, starts, axis=-1) for limb in (added >> 24, added & 0xFFFFFF))
        sums = high * float(1 << 24) + low
    out[..., case[starts]] = sums
    return out
