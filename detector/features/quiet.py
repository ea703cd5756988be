"""Quiet numbers: seen a few times a week, and remembered as those few events.

Events stand in the order in which they came, zeros behind them. Those older than the rings of the
other forms are dropped when a new day begins, so that what is left is what rings would show.
"""

from typing import Any, Final

from detector.features.event import Words, key_of, minute_of, talk_of
from detector.features.past import QUIET_EVENTS, Past
from detector.features.sketches import NEWEST_DAY_BIT, is_outgoing
from detector.features.steps import is_own_block
from detector.features.tiles import HOP_24H, SPAN_24H
from detector.jit import kernel
from detector.units import DAY_MS, MINUTE_MS

LONGEST_TALK_S: Final = 5400
"""Eleven calls of an hour and a half just fit the talk counters of a usual number, which hold 65,535 s."""


@kernel
def is_known(events: Any, key: int) -> bool:
    """Whether `key` is among the events of a number (i64[n, 2])."""
    matches = 0
    for i in range(len(events)):
        matches += key_of(events[i, 0]) == key
    return matches > 0


@kernel
def is_late(newest_ms: int, event_ms: int) -> bool:
    """Whether `event_ms` lies before all that is remembered of a number whose newest event is at `newest_ms`."""
    return event_ms // DAY_MS < newest_ms // DAY_MS - NEWEST_DAY_BIT


@kernel
def held_events(past: Past) -> int:
    """How many events a quiet number has."""
    events = past["events"]
    held = 0
    while held < QUIET_EVENTS and events[held, 0] != 0:
        held += 1
    return held


@kernel
def advance_quiet(past: Past, event_ms: int) -> None:
    """Move a quiet number's newest time to `event_ms`, if later, and drop what is too old then (`past` is mutated)."""
    newest_ms = past["newest_ms"]
    if event_ms <= newest_ms:
        return
    past["newest_ms"] = event_ms
    if event_ms // DAY_MS == newest_ms // DAY_MS:
        return
    events = past["events"]
    held, kept = held_events(past), 0
    for i in range(held):
        if not is_late(event_ms, minute_of(events[i, 1], newest_ms) * MINUTE_MS):
            events[kept, 0], events[kept, 1] = events[i, 0], events[i, 1]
            kept += 1
    for i in range(kept, held):
        events[i, 0], events[i, 1] = 0, 0


@kernel
def is_appended(past: Past, words: Words) -> bool:
    """Whether a quiet number has taken in another event (`past` is mutated): not if it is full, or the talk long."""
    held = held_events(past)
    if held == QUIET_EVENTS or talk_of(words[0]) > LONGEST_TALK_S:
        return False
    past["events"][held, 0], past["events"][held, 1] = words[0], words[1]
    return True


@kernel
def count_began(past: Past, as_of_ms: int) -> int:
    """Calls and messages that a quiet number began in the 24 h window up to `as_of_ms`."""
    newest_ms, began = past["newest_ms"], 0
    events = past["events"]
    since = (as_of_ms - SPAN_24H) // HOP_24H
    for i in range(held_events(past)):
        word = events[i, 1]
        if is_outgoing(word) and not is_own_block(word):
            began += minute_of(word, newest_ms) * MINUTE_MS // HOP_24H >= since
    return began


@kernel
def count_own_blocks(past: Past, as_of_ms: int) -> int:
    """Attempts of a quiet number in the 24 h window up to `as_of_ms` that our enforcement rejected."""
    newest_ms, blocks = past["newest_ms"], 0
    events = past["events"]
    since = (as_of_ms - SPAN_24H) // HOP_24H
    for i in range(held_events(past)):
        word = events[i, 1]
        if is_own_block(word):
            blocks += minute_of(word, newest_ms) * MINUTE_MS // HOP_24H >= since
    return blocks
