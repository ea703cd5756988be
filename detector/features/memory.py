"""Memory: what a partition's kernels see of its numbers, and where one of them is.

number --index--> position --places--> place: a form, and a slot in that form's pool
"""

from typing import Any, Final, NamedTuple, cast

import numpy as np

from detector.features.event import Words
from detector.features.index import ABSENT, FORM_AT, SLOT_MASK, Places
from detector.features.line import Line
from detector.features.past import IS_QUIET, IS_USUAL, IS_WIDE, QUIET, USUAL, WIDE, Pasts, blank
from detector.features.pool import IN_USE, Marks, Pool
from detector.features.steps import Steps, blank_steps
from detector.features.tiles import i64
from detector.features.vectors import Reading, blank_reading
from detector.jit import kernel, prefetch
from detector.records import I64s, U64s

CACHE_LINE: Final = 64
QUIET_BYTES: Final = QUIET.itemsize
USUAL_BYTES: Final = USUAL.itemsize
WIDE_BYTES: Final = WIDE.itemsize
WIDE_COUNTERS_BYTES: Final = int(cast("tuple[Any, int]", WIDE.fields["peers_out"])[1]) if WIDE.fields else 0

NOW: Final = 0
COUNTED_ROWS: Final = 1
FORGOTTEN: Final = 2
EVICTED: Final = 3
MOST_HELD: Final = 4
CLOCK: Final = 5


class Memory(NamedTuple):
    """Everything that is remembered of a partition's numbers, as kernels see it."""

    keys: U64s
    places: Places
    quiet: Pasts
    usual: Pasts
    wide: Pasts
    quiet_marks: Marks
    usual_marks: Marks
    wide_marks: Marks
    clock: I64s
    """i64[5]: the event time that numbers are forgotten by, how many rows have moved it, how many were forgotten and
    how many evicted, and the most that were held at once."""
    most_numbers: int
    """How many may be held; 0 = as many as there are."""
    line: Line
    turn: I64s
    """i64[1]: the place in line of the next to go."""


class Scratch(NamedTuple):
    """What kernels write to and nobody remembers."""

    words: Words
    replayed: Words
    steps: Steps
    reading: Reading
    spare: Pasts
    """The usual form of a quiet number while its features are written."""
    blank_quiet: Pasts
    blank_usual: Pasts
    blank_wide: Pasts


def blank_scratch() -> Scratch:
    """Scratch for one kernel call."""
    words, replayed = np.zeros(2, np.int64), np.zeros(2, np.int64)
    blanks = blank(QUIET), blank(USUAL), blank(WIDE)
    return Scratch(words, replayed, blank_steps(), blank_reading(), blank(USUAL), *blanks)


def memory_of(
    keys: U64s,
    places: Places,
    pools: tuple[Pool, Pool, Pool],
    clock: I64s,
    most_numbers: int,
    line: Line,
    turn: I64s,
) -> Memory:
    """The kernels' view of an index and its pools, until one of them grows, and of a line, until another is formed."""
    quiet, usual, wide = pools
    records, marks = (quiet.records, usual.records, wide.records), (quiet.marks, usual.marks, wide.marks)
    return Memory(keys, places, *records, *marks, clock, most_numbers, line, turn)


@kernel
def place_at(form: int, slot: int) -> int:
    """The place of a record."""
    return form << FORM_AT | slot


@kernel
def newest_of(memory: Memory, place: int) -> int:
    """The newest event time of the number at `place`, 0 where nothing is remembered."""
    if place == ABSENT:
        return 0
    form, slot = place >> FORM_AT, place & SLOT_MASK
    if form == IS_WIDE:
        return i64(memory.wide[slot]["newest_ms"])
    if form == IS_USUAL:
        return i64(memory.usual[slot]["newest_ms"])
    return i64(memory.quiet[slot]["newest_ms"])


@kernel
def held_numbers(memory: Memory) -> int:
    """How many numbers are remembered."""
    held: int = memory.quiet_marks[IN_USE] + memory.usual_marks[IN_USE] + memory.wide_marks[IN_USE]
    return held


@kernel
def fetch_record(record: int, size: int) -> None:
    """The record at an address is on its way from memory."""
    for line in range(0, size, CACHE_LINE):
        prefetch(record + line)


@kernel
def fetch_ahead(memory: Memory, at: int) -> None:
    """The record of the number at position `at` is on its way from memory: of a wide one what every row reads."""
    if at == ABSENT:
        return
    place = i64(memory.places[at])
    form, slot = place >> FORM_AT, place & SLOT_MASK
    if place == ABSENT:
        return
    if form == IS_QUIET:
        fetch_record(memory.quiet.ctypes.data + slot * QUIET_BYTES, QUIET_BYTES)
    elif form == IS_USUAL:
        fetch_record(memory.usual.ctypes.data + slot * USUAL_BYTES, USUAL_BYTES)
    else:
        fetch_record(memory.wide.ctypes.data + slot * WIDE_BYTES, WIDE_COUNTERS_BYTES)
