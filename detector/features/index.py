"""The index: every number of a partition has a slot, handed out in order of first sight.

Open addressing with linear probing, at most half full. The slots, unlike the table that finds
them, are a pure function of the log: only the numbers are saved, the table is built anew.
"""

from typing import Final

import numpy as np

from detector.jit import kernel
from detector.records import NO_NUMBER, Bools, I64s, U64s

ABSENT: Final = -1
"""The slot of a number that the index does not hold."""

_SHIFT_30: Final = np.uint64(30)
_SHIFT_27: Final = np.uint64(27)
_SHIFT_31: Final = np.uint64(31)
_FACTOR_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2: Final = np.uint64(0x94D049BB133111EB)


@kernel
def mix(value: np.uint64) -> np.uint64:
    """`records.mix64` of one u64 value."""
    x = value
    x ^= x >> _SHIFT_30
    x *= _FACTOR_1
    x ^= x >> _SHIFT_27
    x *= _FACTOR_2
    x ^= x >> _SHIFT_31
    return x


@kernel
def locate(
    keys: U64s, places: I64s, shift: int, wanted: U64s, admit: Bools, numbers: U64s, held: I64s, out: I64s
) -> None:
    """out[i] (written) = slot of `wanted[i]`; a number not held gets the next slot if `admit[i]`, else ABSENT.

    `keys`, `places` (mutated): the table, 2^(64 - shift) long, key NO_NUMBER = free. `numbers`
    (mutated): the number of each slot. `held` (mutated): i64[1], how many there are. The table's
    position is the hash's high bits: its low bits chose the partition and are alike in all of it.
    """
    last = len(keys) - 1
    for i in range(len(wanted)):
        number = wanted[i]
        at = np.int64(mix(number) >> np.uint64(shift))
        while keys[at] != number and keys[at] != NO_NUMBER:
            at = (at + 1) & last
        if keys[at] == number and number != NO_NUMBER:
            out[i] = places[at]
        elif admit[i]:
            keys[at] = number
            places[at] = held[0]
            numbers[held[0]] = number
            out[i] = held[0]
            held[0] += 1
        else:
            out[i] = ABSENT


class Index:
    """The slots of the numbers of one partition."""

    def __init__(self, capacity: int) -> None:
        self._held = np.zeros(1, np.int64)
        self._numbers = np.zeros(0, np.uint64)
        self._build(capacity)

    def __len__(self) -> int:
        return int(self._held[0])

    @property
    def numbers(self) -> U64s:
        """The number of each slot, as a view."""
        return self._numbers[: len(self)]

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + self._places.nbytes + self._numbers.nbytes

    def place(self, numbers: U64s, admit: Bools) -> I64s:
        """The slot of each number; those not held yet get one where `admit`, ABSENT elsewhere."""
        if len(self) + len(numbers) > len(self._numbers):
            self._build(2 * (len(self) + len(numbers)))
        return self._locate(numbers, admit)

    def find(self, numbers: U64s) -> I64s:
        """The slot of each number, ABSENT where it is not held."""
        return self._locate(numbers, np.zeros(len(numbers), np.bool_))

    def _locate(self, numbers: U64s, admit: Bools) -> I64s:
        slots = np.empty(len(numbers), np.int64)
        locate(self._keys, self._places, self._shift, numbers, admit, self._numbers, self._held, slots)
        return slots

    def _build(self, capacity: int) -> None:
        """Make room for `capacity` numbers, half of a table of a power of two, and put those held back."""
        bits = max(4, int(2 * capacity - 1).bit_length())
        numbers = self.numbers
        self._keys = np.zeros(1 << bits, np.uint64)
        self._places = np.zeros(1 << bits, np.int64)
        self._shift = 64 - bits
        self._numbers = np.zeros(1 << (bits - 1), np.uint64)
        self._held[0] = 0
        self._locate(numbers, np.ones(len(numbers), np.bool_))
