"""Rows -> rows by partition: a counting sort whose cost is one pass to count and one to copy."""

from typing import Final

import numpy as np

from detector.jit import kernel
from detector.records import TRUNK_MASK, I64s, U64s

_WITHOUT_TRUNK: Final = np.uint64(~TRUNK_MASK & 0xFFFF_FFFF_FFFF_FFFF)
_SHIFT_30: Final = np.uint64(30)
_SHIFT_27: Final = np.uint64(27)
_SHIFT_31: Final = np.uint64(31)
_FACTOR_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2: Final = np.uint64(0x94D049BB133111EB)


@kernel
def count_rows(words: U64s, at: I64s, counts: I64s) -> None:
    """at[i] (written) = `records.partition_of` of row i; counts (written, zeros before) = rows of each partition.

    `words`: u64[rows, 8], as a `ROW` is in memory; the number is the first.
    """
    for i in range(len(words)):
        x = words[i, 0] & _WITHOUT_TRUNK
        x ^= x >> _SHIFT_30
        x *= _FACTOR_1
        x ^= x >> _SHIFT_27
        x *= _FACTOR_2
        x ^= x >> _SHIFT_31
        p = np.int64(x % np.uint64(len(counts)))
        at[i] = p
        counts[p] += 1


@kernel
def place_rows(words: U64s, at: I64s, following: I64s, out: U64s) -> None:
    """out (written) = the rows, partition by partition, in the order they had.

    following[p] (mutated): where the next row of partition p goes; before, where its first does.
    """
    for i in range(len(words)):
        to = following[at[i]]
        following[at[i]] = to + 1
        for k in range(8):
            out[to, k] = words[i, k]
