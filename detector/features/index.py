"""The index: where each number of a partition is remembered.

Open addressing with linear probing, at most seven eighths full. The table is no part of the state:
it is built anew from the records. A number's position in it stays the same until `reserve`, so
that a batch looks its numbers up once and moves them from form to form without searching again.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from detector.features.tiles import i64
from detector.jit import kernel, prefetch
from detector.records import NO_NUMBER, Bools, I64s, U64s

ABSENT: Final = -1
"""The position of a number that the index does not hold, and the place of one that is not remembered."""
FORM_AT: Final = 28
"""A place is a form's rank above this bit, and a slot below it: 268 million of each form in a partition."""
SLOT_MASK: Final = (1 << FORM_AT) - 1
FULL: Final = 8
"""One position in so many stays free. At three quarters, 10 M numbers in twelve partitions had tables twice as long,
0.15 GB more; with 0.83 M numbers in a million positions, one that is held is found in 16 ns instead of 13, and one that
is not in 32 instead of 18."""
FETCH_NUMBERS: Final = 16
"""Numbers that the table is asked for ahead of their turn: a search is a few nanoseconds, memory takes a hundred."""

Places = npt.NDArray[np.int32]

_SHIFT_30: Final = np.uint64(30)
_SHIFT_27: Final = np.uint64(27)
_SHIFT_31: Final = np.uint64(31)
_FACTOR_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2: Final = np.uint64(0x94D049BB133111EB)


POSITION_BYTES: Final = 12
"""A key and a place."""


def table_size(numbers: int, more: int) -> int:
    """Positions of a table that is made for `numbers`, with room for `more`: at most half of them are taken then."""
    return 1 << max(4, (2 * (numbers + more) - 1).bit_length())


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
def first_position(keys: U64s, number: np.uint64) -> int:
    """Where `number` is looked for first in the table `keys`.

    By the hash's high bits: its low bits chose the partition and are alike in all of it.
    """
    return i64(mix(number) >> np.uint64(32)) & (len(keys) - 1)


@kernel
def position_of(keys: U64s, number: np.uint64) -> int:
    """Where `number` stands in the table `keys`, or where it would: that place is free then."""
    last = len(keys) - 1
    at = first_position(keys, number)
    while keys[at] != number and keys[at] != NO_NUMBER:
        at = (at + 1) & last
    return at


@kernel
def locate(keys: U64s, held: I64s, wanted: U64s, admit: Bools, out: I64s) -> None:
    """out[i] (written) = position of `wanted[i]`, which is put there if `admit[i]`; else ABSENT if it is not held.

    `keys` (mutated): the table, a power of two long, NO_NUMBER = free. `held` (mutated): i64[1], how many it holds.
    """
    base = keys.ctypes.data
    for i in range(len(wanted)):
        if i + FETCH_NUMBERS < len(wanted):
            prefetch(base + 8 * first_position(keys, wanted[i + FETCH_NUMBERS]))
        number = wanted[i]
        at = position_of(keys, number)
        out[i] = at
        if keys[at] != number:
            if admit[i]:
                keys[at] = number
                held[0] += 1
            else:
                out[i] = ABSENT
        elif number == NO_NUMBER:
            out[i] = ABSENT


@kernel
def put(keys: U64s, places: Places, held: I64s, numbers: U64s, wanted: Places) -> None:
    """The table (`keys`, `places`, `held`: mutated) holds each number, which it did not, at its wanted place."""
    for i in range(len(numbers)):
        if wanted[i] != ABSENT:
            at = position_of(keys, numbers[i])
            keys[at] = numbers[i]
            places[at] = wanted[i]
            held[0] += 1


class Index:
    """The places of the numbers of one partition."""

    def __init__(self, capacity: int) -> None:
        self._held = np.zeros(1, np.int64)
        self.keys: U64s = np.zeros(0, np.uint64)
        self.places: Places = np.zeros(0, np.int32)
        """By position. A number whose place is ABSENT was forgotten: it is gone when the table grows."""
        self.reserve(capacity)

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.keys.nbytes + self.places.nbytes

    def locate(self, numbers: U64s, admit: Bools) -> I64s:
        """The position of each number; those not held get one where `admit`, for which there is room."""
        positions = np.empty(len(numbers), np.int64)
        locate(self.keys, self._held, numbers, admit, positions)
        return positions

    def find(self, numbers: U64s) -> Places:
        """The place of each number, ABSENT where it is not remembered."""
        positions = self.locate(numbers, np.zeros(len(numbers), np.bool_))
        return np.where(positions == ABSENT, np.int32(ABSENT), self.places[positions])

    def put(self, numbers: U64s, places: Places) -> None:
        """Each number, none of which is held, stands at its place."""
        self.reserve(len(numbers))
        put(self.keys, self.places, self._held, np.ascontiguousarray(numbers), places)

    def reserve(self, more: int) -> None:
        """There is room for `more` numbers; positions change if there was not."""
        if FULL * (int(self._held[0]) + more) <= (FULL - 1) * len(self.keys) and len(self.keys):
            return
        keys, places = self.keys, self.places
        alive = int(np.count_nonzero(places != ABSENT))
        size = table_size(alive, more)
        self.keys = np.zeros(size, np.uint64)
        self.places = np.full(size, ABSENT, np.int32)
        self._held[0] = 0
        put(self.keys, self.places, self._held, keys, places)
