"""Counting: one event goes into the past of its number, which is moved to another form where it must be."""

from typing import Final

from detector.features.entries import age_usual
from detector.features.event import key_of
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
from detector.features.index import FORM_AT, SLOT_MASK
from detector.features.memory import Memory, Scratch, place_at
from detector.features.past import IS_QUIET, IS_USUAL, IS_WIDE
from detector.features.pool import free_slot, take_slot
from detector.features.quiet import advance_quiet, is_appended, is_known, is_late
from detector.features.sketches import age_wide
from detector.features.status import Status
from detector.features.tiles import i64
from detector.jit import kernel

_COUNTED: Final = int(Status.COUNTED)
_DUPLICATE: Final = int(Status.DUPLICATE)
_LATE: Final = int(Status.LATE)


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
