"""Holding: which numbers a partition remembers. One that comes is welcomed; one long silent, or next in line, goes.

The clock is event time, and moves with the rows: what is held is a function of the rows alone.
"""

from typing import Final

import numpy as np

from detector.features.index import ABSENT, FORM_AT, SLOT_MASK, position_of
from detector.features.memory import (
    COUNTED_ROWS,
    EVICTED,
    FORGOTTEN,
    MOST_HELD,
    NOW,
    Memory,
    Scratch,
    held_numbers,
    newest_of,
    place_at,
)
from detector.features.past import IS_QUIET, IS_USUAL, IS_WIDE
from detector.features.pool import expired, free_slot, take_slot
from detector.features.tiles import i64
from detector.jit import kernel
from detector.records import I64s
from detector.units import DAY_MS

SILENT_MS: Final = 16 * DAY_MS
"""A number that has been silent for so long is forgotten: twice what its windows hold, so that rows of another
source that are a week behind still find it."""
CLOCK_STEP_MS: Final = 10_000
"""A row moves the clock that numbers are forgotten by on by this at most: a source whose clock is years ahead
makes nobody forgotten, and a partition with one row in ten seconds keeps up."""

SWEEP_ROWS: Final = 16
"""Rows from sweep to sweep."""
SWEPT_QUIET: Final = 2
"""Quiet records that are looked at for each row. Even where every row brings a new number, two of the long silent go
for each that comes, so that what is held stays below twice what was seen in `SILENT_MS`."""


@kernel
def forget(memory: Memory, number: np.uint64) -> None:
    """`number`, which is held, is remembered no longer (`memory` is mutated)."""
    memory.places[position_of(memory.keys, number)] = ABSENT
    memory.clock[FORGOTTEN] += 1


@kernel
def is_one_evicted(memory: Memory, scratch: Scratch) -> bool:
    """Whether the next in line that was not seen since has gone (`memory` is mutated); if not, nobody is left in it."""
    while memory.turn[0] < len(memory.line):
        standing = memory.line[memory.turn[0]]
        memory.turn[0] += 1
        at = position_of(memory.keys, standing["number"])
        place = i64(memory.places[at])
        if place == ABSENT or newest_of(memory, place) != standing["newest_ms"]:
            continue
        memory.places[at] = ABSENT
        memory.clock[EVICTED] += 1
        form, slot = place >> FORM_AT, place & SLOT_MASK
        if form == IS_WIDE:
            free_slot(memory.wide, memory.wide_marks, slot, scratch.blank_wide)
        elif form == IS_USUAL:
            free_slot(memory.usual, memory.usual_marks, slot, scratch.blank_usual)
        else:
            free_slot(memory.quiet, memory.quiet_marks, slot, scratch.blank_quiet)
        return True
    return False


@kernel
def is_welcomed(memory: Memory, at: int, number: np.uint64, scratch: Scratch) -> bool:
    """Whether `number`, at position `at`, has a blank record (`memory` is mutated); if not, a line must be formed."""
    if 0 < memory.most_numbers <= held_numbers(memory) and not is_one_evicted(memory, scratch):
        return False
    slot = take_slot(memory.quiet, memory.quiet_marks)
    memory.quiet[slot]["number"] = number
    memory.places[at] = place_at(IS_QUIET, slot)
    memory.clock[MOST_HELD] = max(memory.clock[MOST_HELD], held_numbers(memory))
    return True


@kernel
def sweep(memory: Memory, scratch: Scratch) -> None:
    """The next records of each form are looked at, and let go if their numbers have long been silent.

    `memory` is mutated. A number that is forgotten has nothing left in its windows.
    """
    before_ms = memory.clock[NOW] - SILENT_MS
    for _ in range(SWEPT_QUIET * SWEEP_ROWS):
        slot = expired(memory.quiet, memory.quiet_marks, before_ms)
        if slot >= 0:
            forget(memory, memory.quiet[slot]["number"])
            free_slot(memory.quiet, memory.quiet_marks, slot, scratch.blank_quiet)
    for _ in range(SWEEP_ROWS):
        slot = expired(memory.usual, memory.usual_marks, before_ms)
        if slot >= 0:
            forget(memory, memory.usual[slot]["number"])
            free_slot(memory.usual, memory.usual_marks, slot, scratch.blank_usual)
        slot = expired(memory.wide, memory.wide_marks, before_ms)
        if slot >= 0:
            forget(memory, memory.wide[slot]["number"])
            free_slot(memory.wide, memory.wide_marks, slot, scratch.blank_wide)


@kernel
def tick(clock: I64s, event_ms: int) -> bool:
    """Move the clock (mutated) towards `event_ms`; whether it is time for a sweep."""
    if clock[NOW] == 0:
        clock[NOW] = event_ms
    clock[NOW] = max(clock[NOW], min(event_ms, clock[NOW] + CLOCK_STEP_MS))
    clock[COUNTED_ROWS] += 1
    return bool(clock[COUNTED_ROWS] % SWEEP_ROWS == 0)
