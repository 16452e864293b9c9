import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Ints

Words = NDArray[np.uint64]


def assign_folds(seller: Ints, k: int, seed: int) -> Ints:
    """Return the fold, 0 to k - 1, of each row. All rows of a seller are in one, by a hash of its code and the seed."""
    start = mix_bits(np.full(1, seed % (1 << 64), dtype=np.uint64))
    return (mix_bits(seller.astype(np.uint64) ^ start) % np.uint64(k)).astype(np.int64)


def mix_bits(value: Words) -> Words:
    """Return a hash of each number (splitmix64): equal in every process and version."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
