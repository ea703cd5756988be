"""Reading: what is asked of a number at a place, whatever its form. Nothing of it changes."""

from detector.features.forms import promote
from detector.features.index import ABSENT, FORM_AT, SLOT_MASK, Places
from detector.features.memory import Memory, Scratch, newest_of
from detector.features.past import IS_QUIET, IS_USUAL, IS_WIDE
from detector.features.quiet import count_began, count_own_blocks
from detector.features.tiles import BEGAN_O, OWN_BLOCKS, SMS_O, i64
from detector.features.vectors import Reading, Vectors, write_usual_vector, write_wide_vector
from detector.features.windows import sum_day
from detector.jit import kernel
from detector.records import I64s


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
