"""Update: rows are counted one after the other, each into the form that its number has.

row --pack_event--> event --count_event--> the number's past, moved to another form where it must be
                             |
                             v             a vector, where one is wanted
"""

from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from detector.features.entries import age_usual
from detector.features.event import Words, key_of, pack_event
from detector.features.forms import (
    advance,
    count_usual,
    count_wide,
    fits_usual,
    is_narrow,
    is_retired,
    narrow,
    promote,
    retire,
    widen,
)
from detector.features.index import ABSENT, FORM_AT, SLOT_MASK, Places, position_of
from detector.features.line import Line
from detector.features.past import IS_QUIET, IS_USUAL, IS_WIDE, QUIET, USUAL, WIDE, Pasts, blank
from detector.features.pool import IN_USE, Marks, Pool, expired, free_slot, take_slot
from detector.features.quiet import advance_quiet, count_began, count_own_blocks, is_appended, is_known, is_late
from detector.features.sketches import age_wide
from detector.features.status import Status
from detector.features.steps import Steps, blank_steps, is_own_block
from detector.features.tiles import BEGAN_O, DAY_MS, OWN_BLOCKS, SMS_O, i64
from detector.features.vectors import Reading, Vectors, blank_reading, write_usual_vector, write_wide_vector
from detector.features.windows import sum_day
from detector.jit import kernel, prefetch
from detector.records import Bools, I64s, Rows, U64s

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

CACHE_LINE: Final = 64
FETCH_ROWS: Final = 4
"""Rows that a record is asked for ahead of its turn: about two microseconds, several times what memory takes."""
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

TAKEN: Final = 0
NEXT_ROW: Final = 1
PROGRESS: Final = 2

_COUNTED: Final = int(Status.COUNTED)
_DUPLICATE: Final = int(Status.DUPLICATE)
_LATE: Final = int(Status.LATE)
_IGNORED: Final = int(Status.IGNORED)


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
def count_event(memory: Memory, at: int, event_ms: int, utc_offset_ms: int, scratch: Scratch) -> int:
    """The number at position `at` has taken in the event in `scratch.words`; returns what became of it.

    `memory` and `scratch` are mutated. Each form follows the same steps:
    1. Late or known: nothing changes.
    2. Time moves on; where a new day leaves little, the number returns to the smaller form.
    3. The event is counted, in a larger form where this one is full.
    """
    words = scratch.words
    key = key_of(words[0])
    place = i64(memory.places[at])
    form, slot = place >> FORM_AT, place & SLOT_MASK
    if form == IS_WIDE:
        wide = memory.wide[slot]
        if is_late(wide["newest_ms"], event_ms):
            return _LATE
        if is_known(wide["recent"], key):
            return _DUPLICATE
        days = advance(wide, event_ms)
        if days > 0:
            age_wide(wide, days)
            if is_narrow(wide):
                form = IS_USUAL
                taken = take_slot(memory.usual, memory.usual_marks)
                narrow(wide, memory.usual[taken])
                free_slot(memory.wide, memory.wide_marks, slot, scratch.blank_wide)
                slot = taken
    elif form == IS_USUAL:
        usual = memory.usual[slot]
        if is_late(usual["newest_ms"], event_ms):
            return _LATE
        if is_known(usual["recent"], key):
            return _DUPLICATE
        days = advance(usual, event_ms)
        if days > 0:
            age_usual(usual, days)
            if is_retired(usual):
                form = IS_QUIET
                taken = take_slot(memory.quiet, memory.quiet_marks)
                retire(usual, memory.quiet[taken])
                free_slot(memory.usual, memory.usual_marks, slot, scratch.blank_usual)
                slot = taken
    else:
        quiet = memory.quiet[slot]
        if is_late(quiet["newest_ms"], event_ms):
            return _LATE
        if is_known(quiet["events"], key):
            return _DUPLICATE
        advance_quiet(quiet, event_ms)

    if form == IS_QUIET and not is_appended(memory.quiet[slot], words):
        form = IS_USUAL
        taken = take_slot(memory.usual, memory.usual_marks)
        promote(memory.quiet[slot], memory.usual[taken], utc_offset_ms, scratch.replayed, scratch.steps)
        free_slot(memory.quiet, memory.quiet_marks, slot, scratch.blank_quiet)
        slot = taken
    if form == IS_USUAL:
        if fits_usual(memory.usual[slot], words, event_ms):
            count_usual(memory.usual[slot], words, event_ms, utc_offset_ms, scratch.steps)
        else:
            form = IS_WIDE
            taken = take_slot(memory.wide, memory.wide_marks)
            widen(memory.usual[slot], memory.wide[taken])
            free_slot(memory.usual, memory.usual_marks, slot, scratch.blank_usual)
            slot = taken
    if form == IS_WIDE:
        count_wide(memory.wide[slot], words, event_ms, utc_offset_ms, scratch.steps)
    memory.places[at] = place_at(form, slot)
    return _COUNTED


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
def began(memory: Memory, place: int, as_of_ms: int, reading: Reading) -> int:
    """Calls and messages that the number at `place` began in the 24 h window up to `as_of_ms`."""
    form, slot = place >> FORM_AT, place & SLOT_MASK
    if form == IS_QUIET:
        return count_began(memory.quiet[slot], as_of_ms)
    if form == IS_USUAL:
        sum_day(memory.usual[slot], as_of_ms, reading.sums)
    else:
        sum_day(memory.wide[slot], as_of_ms, reading.sums)
    return i64(reading.sums.ring_24h[BEGAN_O] + reading.sums.ring_24h[SMS_O])


@kernel
def write_features(
    memory: Memory, place: int, as_of_ms: int, utc_offset_ms: int, scratch: Scratch, out: Vectors
) -> None:
    """out (f64[60], written) = the features of the number at `place`; `scratch` is mutated."""
    form, slot = place >> FORM_AT, place & SLOT_MASK
    if place != ABSENT and form == IS_WIDE:
        write_wide_vector(memory.wide[slot], as_of_ms, scratch.reading, out)
    elif place != ABSENT and form == IS_USUAL:
        write_usual_vector(memory.usual[slot], as_of_ms, scratch.reading, out)
    else:
        scratch.spare[0] = scratch.blank_usual[0]
        if place != ABSENT:
            promote(memory.quiet[slot], scratch.spare[0], utc_offset_ms, scratch.replayed, scratch.steps)
        write_usual_vector(scratch.spare[0], as_of_ms, scratch.reading, out)


@kernel
def forget(memory: Memory, number: np.uint64) -> None:
    """`number`, which is held, is remembered no longer (`memory` is mutated)."""
    memory.places[position_of(memory.keys, number)] = ABSENT
    memory.clock[FORGOTTEN] += 1


@kernel
def held_numbers(memory: Memory) -> int:
    """How many numbers are remembered."""
    held: int = memory.quiet_marks[IN_USE] + memory.usual_marks[IN_USE] + memory.wide_marks[IN_USE]
    return held


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


@kernel
def apply_rows(
    memory: Memory,
    rows: Rows,
    positions: I64s,
    moments: Bools,
    floor: int,
    utc_offset_ms: int,
    scratch: Scratch,
    status: npt.NDArray[np.uint8],
    as_of_ms: I64s,
    scored: I64s,
    vectors: Vectors,
    progress: I64s,
) -> None:
    """Count each row from `progress[NEXT_ROW]` on that has a position, in order; take a vector where it is wanted.

    Mutated: `memory`, `scratch`, `progress` (i64[2]). Written: `status[i]`, `as_of_ms[i]`; `scored[k]` and `vectors[k]`
    for k < `progress[TAKEN]`. Ends before a row for which a line must be formed: to be called again with it.
    """
    for i in range(progress[NEXT_ROW], len(rows)):
        if i + FETCH_ROWS < len(rows):
            fetch_ahead(memory, positions[i + FETCH_ROWS])
        row = rows[i]
        event_ms = i64(row["event_ms"])
        as_of_ms[i] = event_ms
        status[i] = _IGNORED
        at = positions[i]
        if at == ABSENT:
            continue
        if memory.places[at] == ABSENT and not is_welcomed(memory, at, row["number"], scratch):
            progress[NEXT_ROW] = i
            return
        pack_event(row, scratch.words)
        status[i] = count_event(memory, at, event_ms, utc_offset_ms, scratch)
        place = i64(memory.places[at])
        newest_ms = newest_of(memory, place)
        as_of_ms[i] = max(event_ms, newest_ms)
        if status[i] != _COUNTED:
            continue
        wanted = moments[i] and not is_own_block(scratch.words[1])
        if wanted and (floor <= 0 or began(memory, place, newest_ms, scratch.reading) >= floor):
            write_features(memory, place, newest_ms, utc_offset_ms, scratch, vectors[progress[TAKEN]])
            scored[progress[TAKEN]] = i
            progress[TAKEN] += 1
        if tick(memory.clock, event_ms):
            sweep(memory, scratch)
    progress[NEXT_ROW] = len(rows)


@kernel
def take_vectors(
    memory: Memory, places: Places, as_of_ms: I64s, utc_offset_ms: int, scratch: Scratch, out: Vectors
) -> None:
    """out[i] (written) = the features at `places[i]` at `as_of_ms[i]`, or at its newest time if that is later.

    `scratch` is mutated.
    """
    for i in range(len(places)):
        place = i64(places[i])
        as_of = max(as_of_ms[i], newest_of(memory, place))
        write_features(memory, place, as_of, utc_offset_ms, scratch, out[i])


@kernel
def sum_own_blocks(memory: Memory, places: Places, as_of_ms: I64s, scratch: Scratch, out: I64s) -> None:
    """out[i] (written) = attempts at `places[i]` that our enforcement rejected in the 24 h up to `as_of_ms[i]`.

    `scratch` is mutated.
    """
    for i in range(len(places)):
        out[i] = 0
        place = i64(places[i])
        if place == ABSENT:
            continue
        as_of = max(as_of_ms[i], newest_of(memory, place))
        form, slot = place >> FORM_AT, place & SLOT_MASK
        if form == IS_QUIET:
            out[i] = count_own_blocks(memory.quiet[slot], as_of)
            continue
        if form == IS_USUAL:
            sum_day(memory.usual[slot], as_of, scratch.reading.sums)
        else:
            sum_day(memory.wide[slot], as_of, scratch.reading.sums)
        out[i] = scratch.reading.sums.ring_24h[OWN_BLOCKS]
